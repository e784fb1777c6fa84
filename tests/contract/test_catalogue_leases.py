"""Whose turn an asset is: the promises of `Catalogue` on leases, attempts, failures, receipts and circuits."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from core.catalogue.engine import make_engine
from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.records import State
from core.types import AssetId
from tests.contract.catalogues import LEASE, ME, add, draft, index_all


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


def test_a_lease_that_is_renewed_holds_on_and_one_that_is_lost_does_not_come_back(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    held = catalogue.claim("c", worker="w1", lease=timedelta(0), limit=1)
    assert catalogue.renew(held, LEASE) == 1
    assert catalogue.claim("c", worker="w2", lease=LEASE, limit=1) == []
    assert catalogue.renew(held, timedelta(0)) == 1
    [taken] = catalogue.claim("c", worker="w2", lease=LEASE, limit=1)
    assert catalogue.renew(held, timedelta(0)) == 0
    assert catalogue.claim("c", worker="w3", lease=LEASE, limit=1) == [], "a lease of another was ended"
    assert taken.attempt == 2
    catalogue.register(ME, "c", [draft(content="9")])
    assert catalogue.renew([taken], LEASE) == 0, "it changed: what is being made of it is of no use"


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


def test_what_a_dead_worker_held_is_not_left_to_a_message(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    assert catalogue.missing("c", limit=10, quiet=timedelta(minutes=1)) == []
    assert catalogue.expire("w") == 1
    assert catalogue.missing("c", limit=10, quiet=timedelta(minutes=1)) == [asset_id]


def test_connections_that_the_server_closed_are_made_anew(postgres_url: str) -> None:
    """As after a restart of the database."""
    catalogue = open_catalogue(postgres_url)
    assert catalogue.collections() is not None
    killer = make_engine(postgres_url)
    with killer.connect() as conn:
        others = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert conn.execute(others).all()
    killer.dispose()
    assert catalogue.collections() is not None
    assert catalogue.quarantine() == []
    catalogue.close()
