"""The promises of `Catalogue` on collections and assets, kept by SQLite and PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.errors import CatalogueDown, Conflict, NoSuchAsset, NoSuchCollection, SchemaOutdated
from core.fields import FieldType
from core.records import Collection, Draft, IndexState, Outcome, State
from core.types import AssetId, Digest, Reading
from tests.contract.catalogues import LEASE, ME, OTHER, SPACE, add, draft, index_all, index_named


def test_registering_twice_changes_nothing(catalogue: SqlCatalogue) -> None:
    first = catalogue.register(ME, "c", [draft(kind="cat", n=[1, {"b": 2.5, "a": "猫"}])])
    again = catalogue.register(ME, "c", [draft(n=[1, {"a": "猫", "b": 2.5}], kind="cat")])
    assert first[0][1] is Outcome.ADDED
    assert again == [(first[0][0], Outcome.UNCHANGED)]
    assert catalogue.asset(ME, "c", "a").generation == 1


@pytest.mark.parametrize("change", [draft(content="y"), draft(kind="dog")])
def test_a_change_of_bytes_or_metadata_is_the_next_generation(catalogue: SqlCatalogue, change: Draft) -> None:
    add(catalogue)
    index_all(catalogue)
    assert catalogue.register(ME, "c", [change])[0][1] is Outcome.CHANGED
    asset = catalogue.asset(ME, "c", "a")
    assert (asset.generation, catalogue.state(asset)) == (2, State.PENDING)


def test_of_two_drafts_with_one_id_in_a_batch_the_last_counts(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, draft(content="x"), draft(content="y"))
    assert ids[0] == ids[1]
    assert catalogue.asset(ME, "c", "a").digest == "y" * 64


def test_an_asset_of_another_tenant_is_not_there(catalogue: SqlCatalogue) -> None:
    [theirs] = add(catalogue, tenant=OTHER)
    for key in (theirs, "a"):
        with pytest.raises(NoSuchAsset):
            catalogue.asset(ME, "c", key)
    assert catalogue.remove(ME, "c", [theirs]) == 0
    assert catalogue.counts(ME, "c") == dict.fromkeys(State, 0)
    assert catalogue.assets(ME, "c") == []


def test_a_state_is_computed_from_what_stands(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    asset = catalogue.asset(ME, "c", "a")
    assert catalogue.state(asset) is State.PENDING
    [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    assert catalogue.state(asset) is State.WORKING
    catalogue.fail(claim, kind="CorruptMedia", message="bad", retry_in=None)
    assert catalogue.state(asset) is State.FAILED
    assert catalogue.claim("c", worker="w", lease=LEASE, limit=1) == []
    assert catalogue.forgive(ME, "c") == 1
    assert index_all(catalogue) == 1
    assert catalogue.state(asset) is State.INDEXED
    assert catalogue.failures(ME, "c") == []
    assert catalogue.counts(ME, "c")[State.INDEXED] == 1


def test_what_is_missing_is_what_an_index_has_no_receipt_of(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, draft("a"), draft("b"))
    assert set(catalogue.missing("c", limit=10)) == set(ids)
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.sign(catalogue.serving("c"), dict.fromkeys(claims, 1))
    catalogue.finish(claims)
    assert [*catalogue.missing("c", limit=10), claims[0].asset.id] in ([*ids], [*reversed(ids)])
    assert (catalogue.counts(ME, "c")[State.INDEXED], catalogue.counts(ME, "c")[State.PENDING]) == (1, 1)
    index_all(catalogue)
    assert catalogue.missing("c", limit=10) == []
    catalogue.create_index(index_named("c-2", IndexState.BUILDING))
    assert set(catalogue.missing("c", limit=10, index="c-2")) == set(ids)
    assert catalogue.missing("c", limit=10) == [], "an index that is being built keeps nobody waiting"
    assert catalogue.counts(ME, "c")[State.INDEXED] == 2


def test_a_removed_asset_waits_for_the_worker_that_holds_it(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    assert catalogue.remove(ME, "c", [asset_id]) == 1
    assert catalogue.remove(ME, "c", [asset_id]) == 0
    assert catalogue.removed(limit=10) == []
    catalogue.release(claims)
    [gone] = catalogue.removed(limit=10)
    assert (gone.id, gone.generation) == (asset_id, 2)


def test_bytes_that_another_asset_uses_are_kept(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, draft("a", "x"), draft("b", "x"), draft("c", "z"))
    catalogue.remove(ME, "c", [ids[0], ids[2]])
    assert catalogue.purge(catalogue.removed(limit=10)) == ["z" * 64]
    assert catalogue.uses(Digest("x" * 64))
    assert not catalogue.uses(Digest("z" * 64))


def test_an_asset_that_came_back_is_not_purged(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    catalogue.remove(ME, "c", [asset_id])
    gone = catalogue.removed(limit=10)
    assert catalogue.register(ME, "c", [draft()]) == [(asset_id, Outcome.CHANGED)]
    assert catalogue.purge(gone) == []
    assert catalogue.asset(ME, "c", "a").generation == 3


def test_a_collection_cannot_be_made_twice_differently(catalogue: SqlCatalogue) -> None:
    same = Collection(name="c", fields={"kind": FieldType.KEYWORD}, profile="p")
    assert catalogue.create_collection(same) == same
    with pytest.raises(Conflict, match="profile 'p' and fields kind=keyword"):
        catalogue.create_collection(Collection(name="c", fields={}, profile="p"))


def test_a_collection_has_one_serving_index(catalogue: SqlCatalogue) -> None:
    with pytest.raises(Conflict):
        catalogue.create_index(index_named("c-3", IndexState.SERVING))
    assert catalogue.create_index(index_named("c-1", IndexState.SERVING)) == catalogue.serving("c")


def test_an_unknown_collection_names_no_other_for_it_may_be_another_tenants(catalogue: SqlCatalogue) -> None:
    catalogue.create_collection(Collection(name="hidden", fields={}, profile="p"))
    with pytest.raises(NoSuchCollection, match="'nope': `quiver status` lists") as refused:
        catalogue.collection("nope")
    assert "hidden" not in str(refused.value)
    with pytest.raises(NoSuchCollection):
        catalogue.serving("nope")


def test_pages_are_in_order_and_whole(catalogue: SqlCatalogue) -> None:
    add(catalogue, *(draft(f"{i:03}") for i in range(250)))
    seen: list[str] = []
    while page := catalogue.assets(ME, "c", after=seen[-1] if seen else None, limit=90):
        seen += [asset.external_id for asset, _ in page]
    assert seen == [f"{i:03}" for i in range(250)]


def test_an_unreachable_database_is_named_as_such() -> None:
    with pytest.raises(CatalogueDown):
        open_catalogue("postgresql://nobody@127.0.0.1:1/none")


def test_tables_that_were_never_made_say_what_to_run(tmp_path: Path) -> None:
    from core.catalogue.engine import make_engine

    with pytest.raises(SchemaOutdated, match="quiver migrate"):
        SqlCatalogue(make_engine(f"sqlite:///{tmp_path}/empty.db"), max_attempts=2).collections()


def test_an_unknown_asset_id_is_not_there(catalogue: SqlCatalogue) -> None:
    with pytest.raises(NoSuchAsset):
        catalogue.asset(ME, "c", AssetId(uuid4()))


def test_the_longest_name_of_a_tenants_collection_fits(catalogue: SqlCatalogue) -> None:
    longest = Collection(name=f"{'n' * 63}.{'0' * 12}", fields={}, profile="p")
    assert catalogue.create_collection(longest) == longest
    catalogue.register(ME, longest.name, [draft()])
    assert catalogue.asset(ME, longest.name, "a").collection == longest.name


def test_seconds_of_stages_add_up_over_whoever_tells_them(catalogue: SqlCatalogue) -> None:
    assert catalogue.spent("c") == {}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: catalogue.spend("c", {"encode": 2.0, "decode": 0.5}, 2), range(20)))
    catalogue.spend("c", {"load": 10.0}, 2)
    assert catalogue.spent("c") == {"decode": 0.25, "encode": 1.0, "load": 0.25}, "of all assets, whatever some need"


def test_seconds_before_an_asset_is_indexed_are_told_once_one_is(catalogue: SqlCatalogue) -> None:
    catalogue.spend("c", {"fetch": 8.0}, 0)
    assert catalogue.spent("c") == {}
    catalogue.spend("c", {"fetch": 2.0, "commit": 1.0}, 5)
    assert catalogue.spent("c") == {"commit": 0.2, "fetch": 2.0}


def test_twins_are_signed_assets_of_one_tenant_with_the_same_bytes(catalogue: SqlCatalogue) -> None:
    [mine, other] = add(catalogue, draft("a", "x"), draft("b", "y"))
    add(catalogue, draft("a", "z"), tenant=OTHER)
    [index] = catalogue.indexes("c")
    digests = [Digest(letter * 64) for letter in "xyzw"]
    assert catalogue.twins(index, ME, digests) == {}, "nothing is signed for"
    index_all(catalogue)
    both = {digests[0]: (index, mine), digests[1]: (index, other)}
    assert catalogue.twins(index, ME, [*digests, *digests]) == both
    coming = index_named("coming", IndexState.BUILDING)
    assert catalogue.twins(coming, ME, digests) == both, "one of the same spaces serves"
    assert catalogue.twins(replace(coming, reads=frozenset({Reading.OCR})), ME, digests) == {}
    assert catalogue.twins(replace(coming, spaces=(replace(SPACE, revision="other"),)), ME, digests) == {}
    catalogue.register(ME, "c", [draft("a", "x", kind="changed")])
    catalogue.remove(ME, "c", [other])
    assert catalogue.twins(index, ME, digests) == {}
