"""The promises of `Catalogue`, kept by SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.errors import CatalogueDown, Conflict, NoSuchAsset, NoSuchCollection, SchemaOutdated
from core.fields import FieldType
from core.records import Collection, Draft, Index, IndexState, Outcome, State
from core.spaces import EmbeddingSpace, Metric
from core.types import AssetId, Digest, Modality, Tenant

ME, OTHER = Tenant("me"), Tenant("other")
LEASE = timedelta(minutes=5)
SPACE = EmbeddingSpace(
    name="s", model="m", revision="1", dim=4, metric=Metric.COSINE, modalities=frozenset({Modality.TEXT}), recipe=""
)


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlCatalogue]:
    if request.param == "sqlite":
        made = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db", max_attempts=2)
    else:
        made = open_catalogue(request.getfixturevalue("postgres_url"), max_attempts=2)
        with made.engine.begin() as conn:
            conn.execute(text("TRUNCATE collections, indexes, assets, receipts, leases, failures, circuits"))
    made.create_collection(Collection(name="c", fields={"kind": FieldType.KEYWORD}, profile="p"))
    made.create_index(index_named("c-1", IndexState.SERVING))
    yield made
    made.close()


def index_named(name: str, state: IndexState) -> Index:
    return Index(id=name, collection="c", state=state, spaces=(SPACE,), fields={"kind": FieldType.KEYWORD})


def draft(external_id: str = "a", content: str = "x", **metadata: Any) -> Draft:
    return Draft(
        external_id=external_id,
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest(content * 64),
        size=len(content),
        metadata=metadata,
    )


def add(catalogue: SqlCatalogue, *drafts: Draft, tenant: Tenant = ME) -> list[AssetId]:
    return [asset_id for asset_id, _ in catalogue.register(tenant, "c", drafts or [draft()])]


def index_all(catalogue: SqlCatalogue, *, lease: timedelta = LEASE) -> int:
    claims = catalogue.claim("c", worker="w", lease=lease, limit=100)
    for index in catalogue.indexes("c"):
        assert catalogue.sign(index, dict.fromkeys(claims, 1)) == {}
    catalogue.finish(claims)
    return len(claims)


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
    assert set(catalogue.missing("c", limit=10)) == set(ids)
    assert catalogue.counts(ME, "c")[State.INDEXED] == 2


def test_two_workers_never_hold_the_same_asset(catalogue: SqlCatalogue) -> None:
    add(catalogue, *(draft(f"a{i}") for i in range(60)))
    held: list[AssetId] = []
    start = threading.Barrier(4)

    def work(name: str) -> None:
        start.wait()
        while claims := catalogue.claim("c", worker=name, lease=LEASE, limit=7):
            held.extend(c.asset.id for c in claims)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A claimer that only met locked rows may stop early; nothing is ever held twice.
    assert len(held) == len(set(held))
    assert len(held) + len(catalogue.missing("c", limit=100)) == 60


def test_a_lease_that_ran_out_is_claimed_again_and_the_attempt_counts(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    [first] = catalogue.claim("c", worker="w1", lease=timedelta(0), limit=1)
    [second] = catalogue.claim("c", worker="w2", lease=LEASE, limit=1)
    assert (first.attempt, second.attempt) == (1, 2)


def test_a_lease_given_back_counts_no_attempt(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    for _ in range(5):
        claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
        assert claims[0].attempt == 1
        catalogue.release(claims)


def test_work_handed_back_after_a_lost_attempt_keeps_that_attempt(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    catalogue.claim("c", worker="w", lease=timedelta(0), limit=1)
    for _ in range(3):
        claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
        assert claims[0].attempt == 2
        catalogue.release(claims)


def test_the_leases_of_a_dead_worker_can_be_ended_at_once(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("a"), draft("b"))
    catalogue.claim("c", worker="dead", lease=LEASE, limit=1)
    catalogue.claim("c", worker="alive", lease=LEASE, limit=1)
    assert catalogue.holders() == ["alive", "dead"]
    assert (catalogue.expire("dead"), catalogue.expire("dead")) == (1, 0)
    [again] = catalogue.claim("c", worker="w", lease=LEASE, limit=10)
    assert again.attempt == 2


def test_a_file_that_kills_its_workers_is_quarantined(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    for _ in range(2):  # max_attempts of this catalogue
        assert len(catalogue.claim("c", worker="w", lease=timedelta(0), limit=1)) == 1
    assert catalogue.claim("c", worker="w", lease=timedelta(0), limit=1) == []
    [failure] = catalogue.failures(ME, "c")
    assert (failure.asset_id, failure.kind, failure.attempts, failure.retry_at) == (asset_id, "WorkerLost", 2, None)
    add(catalogue, draft(content="y"))  # another generation is another chance
    assert len(catalogue.claim("c", worker="w", lease=LEASE, limit=1)) == 1


def test_attempts_go_on_counting_over_retries(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    for attempt in (1, 2, 3):
        [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
        assert claim.attempt == attempt
        catalogue.fail(claim, kind="StoreDown", message="down", retry_in=timedelta(0))


def test_a_retry_is_not_claimed_before_its_time(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.fail(claim, kind="StoreDown", message="down", retry_in=timedelta(hours=1))
    assert catalogue.claim("c", worker="w", lease=LEASE, limit=1) == []
    assert catalogue.failures(ME, "c")[0].retry_at is not None


def test_a_stale_worker_cannot_sign_and_is_told_what_to_forget(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, draft("replaced"), draft("removed"), draft("stolen"), draft("fine"))
    claims = catalogue.claim("c", worker="w", lease=timedelta(0), limit=10)
    add(catalogue, draft("replaced", content="y"))
    catalogue.remove(ME, "c", [ids[1]])
    [stolen] = catalogue.claim("c", worker="thief", lease=LEASE, limit=1, ids=[ids[2]])
    assert stolen.attempt == 2
    refused = catalogue.sign(catalogue.serving("c"), dict.fromkeys(claims, 1))
    assert refused == {ids[0]: 2, ids[1]: 2, ids[2]: 1}
    assert catalogue.state(catalogue.asset(ME, "c", "fine")) is State.INDEXED
    catalogue.release(claims)
    assert catalogue.claim("c", worker="w", lease=LEASE, limit=1, ids=[ids[2]]) == [], "the thief's lease stands"


def test_a_purged_asset_has_all_its_points_forgotten_by_a_late_worker(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    claims = catalogue.claim("c", worker="w", lease=timedelta(0), limit=1)
    catalogue.remove(ME, "c", [asset_id])
    catalogue.purge(catalogue.removed(limit=10))
    assert catalogue.sign(catalogue.serving("c"), dict.fromkeys(claims, 1)) == {asset_id: None}


def test_a_failure_of_an_older_generation_says_nothing_of_the_newer(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    add(catalogue, draft(content="y"))
    catalogue.fail(claim, kind="CorruptMedia", message="bad", retry_in=None)
    assert catalogue.failures(ME, "c") == []
    assert index_all(catalogue) == 1


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


def test_an_unknown_collection_names_the_ones_there_are(catalogue: SqlCatalogue) -> None:
    with pytest.raises(NoSuchCollection, match="there is: c"):
        catalogue.collection("nope")
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


def test_receipts_can_be_read_in_pages_and_struck_by_generation(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, *(draft(f"{i}") for i in range(5)))
    index_all(catalogue)
    index = catalogue.serving("c")
    pages = [catalogue.signed(index, limit=3)]
    pages.append(catalogue.signed(index, after=pages[0][-1][0], limit=3))
    assert [row for page in pages for row in page] == [(asset_id, 1, 1) for asset_id in sorted(ids)]
    assert catalogue.strike(index, {ids[0]: 2, ids[1]: 1}) == 1
    assert catalogue.missing("c", limit=10) == [ids[1]]


def test_a_standing_says_what_the_catalogue_knows_of_an_asset(catalogue: SqlCatalogue) -> None:
    ids = add(catalogue, draft("signed"), draft("removed"), draft("new"))
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1, ids=[ids[0]])
    catalogue.sign(catalogue.serving("c"), dict.fromkeys(claims, 7))
    catalogue.remove(ME, "c", [ids[1]])
    said = {s.asset.external_id: s for s in catalogue.standings(catalogue.serving("c"), [*ids, AssetId(uuid4())])}
    assert (said["signed"].generation, said["signed"].points, said["signed"].leased) == (1, 7, True)
    assert (said["removed"].generation, said["removed"].removed) == (None, True)
    assert (said["new"].generation, said["new"].removed, said["new"].leased) == (None, False, False)
    assert len(said) == 3


def test_an_open_circuit_is_seen_by_all_and_opens_longer_each_time(catalogue: SqlCatalogue) -> None:
    assert catalogue.circuits() == {}
    catalogue.trip("store", "refused")
    first, reason = catalogue.circuits()["store"]
    catalogue.trip("store", "refused again")  # by another worker, while it is open: the same outage
    assert catalogue.circuits()["store"][0] <= first
    assert (reason, timedelta(0) < first <= timedelta(seconds=1)) == ("refused", True)
    catalogue.mend("store")
    assert catalogue.circuits() == {}


def test_the_oldest_that_waits_is_known(catalogue: SqlCatalogue) -> None:
    assert catalogue.oldest_waiting("c") == timedelta(0)
    add(catalogue)
    assert timedelta(0) < catalogue.oldest_waiting("c") < timedelta(minutes=1)
    index_all(catalogue)
    assert catalogue.oldest_waiting("c") == timedelta(0)


def test_what_changed_just_now_can_be_left_to_its_message(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    assert catalogue.missing("c", limit=10, quiet=timedelta(minutes=1)) == []
    assert catalogue.missing("c", limit=10, within=timedelta(minutes=1)) == [asset_id]
    assert catalogue.missing("c", limit=10, within=timedelta(0)) == []
