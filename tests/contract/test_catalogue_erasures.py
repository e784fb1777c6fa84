"""Erasing, as every catalogue keeps it: what has begun, what goes with it, and the chain of receipts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from core.catalogue.sql import SqlCatalogue
from core.catalogue.tables import queries, verdicts
from core.desk import Job, Refusal
from core.erasing import Erasing, Erasure, Order, broken
from core.errors import Conflict, NoSuchAsset
from core.records import IndexState
from core.types import AssetId, Digest, JobId
from tests.contract.catalogues import LEASE, ME, OTHER, add, draft, index_all, index_named

NONE = timedelta(0)
ASKED = {"by": "tests", "reason": "", "how": "asset", "order": "o"}


def begin(catalogue: SqlCatalogue, *ids: AssetId, most: int = 10, **more: Any) -> list[Erasing]:
    order = Order(ids=ids, asked=ASKED, **more)
    return catalogue.begin_erasing(ME, "c", order, worker="w", lease=LEASE, most=most)


def receipt(*assets: Any) -> dict[str, Any]:
    return {"assets": list(assets), "order": "o"}


def ended(catalogue: SqlCatalogue, *assets: Any) -> Erasure:
    [begun] = begin(catalogue)
    made = catalogue.end_erasing(begun, receipt(*assets), label="c")
    assert made is not None
    return made


def test_what_is_being_erased_is_removed_at_once_and_nobody_brings_it_back(catalogue: SqlCatalogue) -> None:
    [a, b] = add(catalogue, draft("a", "x"), draft("b", "y"))
    index_all(catalogue)
    add(catalogue, draft("a", "z"))
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=10)
    [begun] = begin(catalogue, a)
    assert [(one.asset, one.external_id, one.digest, one.generation) for one in begun.targets] == [
        (a, "a", "z" * 64, 3)
    ]
    with pytest.raises(NoSuchAsset):
        catalogue.asset(ME, "c", a)
    assert catalogue.asset(ME, "c", b).id == b
    assert catalogue.busy([a, b]) == [a]
    [serving] = catalogue.indexes("c")
    assert catalogue.sign(serving, dict.fromkeys(claims, 1)) == {a: 3}
    catalogue.finish(claims)
    assert catalogue.busy([a, b]) == []
    assert catalogue.removed(limit=10) == [], "it is left to who erases it"
    assert catalogue.purge_erased(begun) == ["z" * 64]
    assert catalogue.superseded(limit=10).keys() == {"x" * 64}


def test_another_tenant_s_is_not_erased(catalogue: SqlCatalogue) -> None:
    [theirs] = add(catalogue, tenant=OTHER)
    [begun] = begin(catalogue, theirs)
    assert begun.targets == ()
    assert catalogue.asset(OTHER, "c", theirs).id == theirs


def test_bytes_that_another_has_are_kept(catalogue: SqlCatalogue) -> None:
    [mine] = add(catalogue)
    add(catalogue, tenant=OTHER)
    [begun] = begin(catalogue, mine)
    assert catalogue.purge_erased(begun) == []


def test_what_comes_back_meanwhile_stays(catalogue: SqlCatalogue) -> None:
    [a] = add(catalogue)
    [begun] = begin(catalogue, a)
    assert add(catalogue, draft("a", "z")) == [a]
    assert catalogue.purge_erased(begun) == ["x" * 64]
    assert catalogue.asset(ME, "c", a).generation == begun.targets[0].generation + 1


def test_a_large_order_is_several_and_all_of_them_begin_at_once(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, *(draft(f"a{n}", "x") for n in range(5)))
    begun = begin(catalogue, *ids, most=2, names=["n"], whole=True)
    assert [len(each.targets) for each in begun] == [2, 2, 1]
    assert [(each.names, each.whole) for each in begun] == [((), False), ((), False), (("n",), True)]
    assert sorted(each.id for each in catalogue.erasings()) == sorted(each.id for each in begun)
    assert {target for each in catalogue.erasings() for target in each.targets} == {
        target for each in begun for target in each.targets
    }


def test_of_many_who_take_an_erasure_over_one_has_it_and_only_that_one_ends_it(catalogue: SqlCatalogue) -> None:
    [begun] = begin(catalogue)
    start, got = Barrier(5), []

    def take() -> None:
        start.wait()
        got.append(catalogue.hold_erasing(begun, worker="v", lease=LEASE))

    threads = [Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [held] = [each for each in got if each is not None]
    assert catalogue.end_erasing(begun, receipt(), label="c") is None
    assert catalogue.erasings() == [held]
    assert catalogue.end_erasing(held, receipt(), label="c") is not None
    assert catalogue.erasings() == []
    assert catalogue.end_erasing(held, receipt(), label="c") is None
    assert len(catalogue.erasures(None)) == 1


def test_which_points_there_were_is_kept_once(catalogue: SqlCatalogue) -> None:
    [begun] = begin(catalogue)
    assert begun.found is None
    assert catalogue.note_erasing(begun, {"c-1": ["p"]}).found == {"c-1": ["p"]}
    assert catalogue.note_erasing(begun, {}).found == {"c-1": ["p"]}
    assert catalogue.erasings()[0].found == {"c-1": ["p"]}


def test_receipts_are_chained_whoever_writes_them(catalogue: SqlCatalogue) -> None:
    start = Barrier(6)

    def write() -> None:
        start.wait()
        for _ in range(3):
            ended(catalogue, "é")

    threads = [Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain = catalogue.erasures(None)
    assert [each.number for each in chain] == list(range(1, 19))
    assert broken(chain) is None
    assert catalogue.last_erasure() == chain[-1]
    assert catalogue.erasures(None, after=3, limit=2) == chain[3:5]
    assert catalogue.erasures(OTHER) == []


def test_a_change_of_a_row_is_seen(catalogue: SqlCatalogue) -> None:
    ended(catalogue), ended(catalogue, "a"), ended(catalogue)
    with catalogue.engine.begin() as conn:
        conn.execute(text("UPDATE erasures SET collection = 'd' WHERE number = 2"))
    assert broken(catalogue.erasures(None)) == "receipt 2 was changed: its hash is another's"
    with catalogue.engine.begin() as conn:
        conn.execute(text("DELETE FROM erasures WHERE number = 2"))
    assert broken(catalogue.erasures(None)) == "receipt 2 is missing: 3 follows"


def test_receipts_of_a_newer_copy_are_put_back_and_what_they_erased_is_erased_again(catalogue: SqlCatalogue) -> None:
    [a, b] = add(catalogue, draft("a", "x"), draft("b", "y"))
    first = ended(catalogue)
    lost = ended(catalogue, {"asset": str(a), "generation": 2, "digest": "x" * 64})
    with catalogue.engine.begin() as conn:
        conn.execute(text("DELETE FROM erasures WHERE number > 1"))
    with pytest.raises(Conflict, match="do not go on"):
        catalogue.rejoin_erasures([(first, "c")])
    catalogue.rejoin_erasures([(lost, "c")])
    assert catalogue.erasures(None) == [first, lost]
    [begun] = catalogue.erasings()
    assert [(one.asset, one.generation) for one in begun.targets] == [(a, 2)]
    with pytest.raises(NoSuchAsset):
        catalogue.asset(ME, "c", a)
    assert catalogue.asset(ME, "c", b).id == b


def test_a_row_that_came_in_after_a_receipt_is_not_erased_again(catalogue: SqlCatalogue) -> None:
    [a] = add(catalogue)
    add(catalogue, draft("a", "y"))
    lost = ended(catalogue, {"asset": str(a), "generation": 2, "digest": "x" * 64})
    with catalogue.engine.begin() as conn:
        conn.execute(text("DELETE FROM erasures"))
    catalogue.rejoin_erasures([(lost, "c")])
    [begun] = catalogue.erasings()
    assert [(one.asset, one.generation) for one in begun.targets] == [(a, 2)], "points below it may be there"
    assert catalogue.asset(ME, "c", a).generation == 2
    catalogue.purge_erased(begun)
    assert catalogue.asset(ME, "c", a).generation == 2


def test_every_index_is_listed_whatever_its_state(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(index_named("c-0", IndexState.RETIRED))
    assert [index.id for index in catalogue.every_index()] == ["c-0", "c-1"]


def job_of(catalogue: SqlCatalogue, tenant: Any = ME) -> Job:
    made = Job(
        id=JobId(uuid4()),
        tenant=tenant,
        collection="c",
        digest=Digest("m" * 64),
        lines=0,
        fetches=False,
        created_at=datetime.now(UTC),
        finished_at=None,
        error=None,
    )
    catalogue.create_job(made)
    return made


def test_what_names_it_goes_and_what_does_not_stays(catalogue: SqlCatalogue) -> None:
    [a, b] = add(catalogue, draft("ä.txt"), draft("b"))
    kept = uuid4()
    for tenant in (ME, OTHER):
        job_of(catalogue, tenant)
        claim = catalogue.claim_job(lease=LEASE)
        assert claim is not None
        refused = [Refusal(line=n, name=name, kind="k", message="m") for n, name in enumerate(["ä.txt", "b"], start=1)]
        catalogue.advance_job(claim, lines=2, drafts=[], refusals=refused, lease=LEASE)
        for key, name in (("1", "ä.txt"), ("2", "b"), ("3", str(a))):
            catalogue.begin_reply(tenant, key, "f", lease=LEASE)
            catalogue.end_reply(tenant, key, status=200, body=json.dumps({"assets": [{"id": name}]}))
    with catalogue.engine.begin() as conn:
        for query, said in ((uuid4(), {"hits": [str(a)]}), (kept, {"hits": [str(uuid4())]})):
            row = {"id": query, "tenant": ME, "collection": "c", "said": said, "at": datetime.now(UTC)}
            conn.execute(insert(queries).values(row))
            for asset in (a, b):
                conn.execute(insert(verdicts).values(query_id=query, asset_id=asset, grade=1, at=datetime.now(UTC)))
    [begun] = begin(catalogue, a)
    traces = catalogue.strike_traces(begun)
    assert (traces.refusals, traces.replies, traces.queries, traces.verdicts) == (1, 2, 1, 3)
    [mine] = catalogue.jobs(ME, "c")
    assert [one.name for one in catalogue.refusals(ME, mine.id)] == ["b"]
    [theirs] = catalogue.jobs(OTHER, "c")
    assert len(catalogue.refusals(OTHER, theirs.id)) == 2
    again = catalogue.strike_traces(begun)
    assert (again.refusals, again.replies, again.queries, again.verdicts) == (0, 0, 0, 0)


def test_a_job_whose_manifest_is_forgotten_ends(catalogue: SqlCatalogue) -> None:
    made = job_of(catalogue)
    claim = catalogue.claim_job(lease=LEASE)
    assert claim is not None
    assert catalogue.end_job(made.id, error="send the rest again") == ("m" * 64, True)
    assert catalogue.advance_job(claim, lines=1, drafts=[draft()], refusals=[], lease=LEASE) is None
    assert catalogue.job(ME, made.id).error == "send the rest again"
    assert not catalogue.uses(Digest("m" * 64))
    assert catalogue.end_job(made.id, error="")[1] is False


def test_bytes_that_were_replaced_are_told_of_until_they_are_erased(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("a", "x"), draft("b", "y"))
    add(catalogue, draft("a", "x", kind="k"))
    assert catalogue.superseded(limit=10) == {}, "its metadata changed, not its bytes"
    add(catalogue, draft("a", "z"), draft("b", "z"))
    gone = catalogue.superseded(limit=10)
    assert gone.keys() == {"x" * 64, "y" * 64}
    add(catalogue, draft("a", "x"))
    assert catalogue.superseded(limit=10).keys() == {"y" * 64}, "somebody has it again"
    add(catalogue, draft("a", "w"))
    catalogue.settle_superseded(gone)
    assert catalogue.superseded(limit=10).keys() == {"x" * 64}, "it was superseded again since"
