"""Recorded searches and verdicts: the promises of `Desk` on them, over both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.catalogue.sql import SqlCatalogue
from core.desk import Recorded
from core.errors import NoSuchAsset, NoSuchQuery
from core.types import AssetId, Tenant
from tests.contract.catalogues import ME, OTHER, add, draft

NOW = datetime.now(UTC)


def asked(catalogue: SqlCatalogue, words: str = "red", *, tenant: Tenant = ME, at: datetime = NOW) -> UUID:
    one = Recorded(id=uuid4(), tenant=tenant, collection="c", said={"text": words}, at=at)
    catalogue.record([one])
    return one.id


def grades(catalogue: SqlCatalogue, tenant: Tenant = ME) -> dict[str, dict[str, int]]:
    return {q.said["text"]: {v.external_id: v.grade for v in held} for q, held in catalogue.judged(tenant, "c")}


def test_the_last_verdict_on_an_asset_stands(catalogue: SqlCatalogue) -> None:
    first, second = add(catalogue, draft("a"), draft("b", "y"))
    query = asked(catalogue)
    assert catalogue.judged(ME, "c") == [], "nobody has said anything of it"
    for asset, grade in ((first, 1), (second, 0), (first, 3), (first, 3)):
        catalogue.judge(ME, "c", query, asset, grade)
    assert grades(catalogue) == {"red": {"a": 3, "b": 0}}


def test_a_search_recorded_twice_is_recorded_once(catalogue: SqlCatalogue) -> None:
    [asset] = add(catalogue)
    one = Recorded(id=uuid4(), tenant=ME, collection="c", said={"text": "red"}, at=NOW)
    catalogue.record([one])
    catalogue.judge(ME, "c", one.id, asset, 2)
    catalogue.record([one, one])
    [(found, held)] = catalogue.judged(ME, "c")
    assert (found.id, found.said, [verdict.grade for verdict in held]) == (one.id, one.said, [2])


def test_another_tenant_s_search_is_unknown_and_so_is_its_asset(catalogue: SqlCatalogue) -> None:
    [mine], [theirs] = add(catalogue), add(catalogue, tenant=OTHER)
    query, foreign = asked(catalogue), asked(catalogue, tenant=OTHER)
    for wrong in (foreign, uuid4()):
        with pytest.raises(NoSuchQuery):
            catalogue.judge(ME, "c", wrong, mine, 1)
    with pytest.raises(NoSuchQuery):
        catalogue.judge(ME, "d", query, mine, 1)
    for lost in (theirs, AssetId(uuid4())):
        with pytest.raises(NoSuchAsset):
            catalogue.judge(ME, "c", query, lost, 1)
    assert grades(catalogue) == grades(catalogue, OTHER) == {}


def test_a_verdict_goes_with_its_asset(catalogue: SqlCatalogue) -> None:
    first, second = add(catalogue, draft("a"), draft("b", "y"))
    query, other = asked(catalogue), asked(catalogue, "green")
    for each in (query, other):
        catalogue.judge(ME, "c", each, first, 1)
    catalogue.judge(ME, "c", query, second, 2)
    catalogue.remove(ME, "c", [first])
    assert grades(catalogue) == {"red": {"b": 2}}, "and a search of which nothing is left is no page's"
    with pytest.raises(NoSuchAsset):
        catalogue.judge(ME, "c", query, first, 1)
    catalogue.purge(catalogue.removed(limit=10))
    add(catalogue, draft("a"))
    assert grades(catalogue) == {"red": {"b": 2}}, "another asset of that name inherits nothing"


def test_pages_hold_every_search_once(catalogue: SqlCatalogue) -> None:
    [asset] = add(catalogue)
    made = [asked(catalogue, str(n)) for n in range(7)]
    for query in made:
        catalogue.judge(ME, "c", query, asset, 1)
    seen: list[UUID] = []
    while page := catalogue.judged(ME, "c", after=seen[-1] if seen else None, limit=3):
        assert len(page) <= 3
        seen += [query.id for query, _ in page]
    assert sorted(seen) == sorted(made)
    assert len(seen) == 7


def test_what_is_old_is_forgotten_with_its_verdicts(catalogue: SqlCatalogue) -> None:
    [asset] = add(catalogue)
    old = asked(catalogue, "old", at=NOW - timedelta(days=40))
    asked(catalogue, "theirs", tenant=OTHER, at=NOW - timedelta(days=40))
    young = asked(catalogue, "young")
    for query in (old, young):
        catalogue.judge(ME, "c", query, asset, 1)
    assert catalogue.forget_queries(before=NOW - timedelta(days=30), tenant=ME) == 1
    assert catalogue.forget_queries(before=NOW - timedelta(days=30)) == 1
    assert grades(catalogue) == {"young": {"a": 1}}
    with pytest.raises(NoSuchQuery):
        catalogue.judge(ME, "c", old, asset, 1)
