"""Bulk jobs: the promises of `Desk` on them, over both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from core.catalogue.sql import SqlCatalogue
from core.desk import Job, JobClaim, Refusal
from core.errors import Conflict, NoSuchJob
from core.records import Collection, Draft, Outcome, State
from core.types import Digest, JobId
from tests.contract.catalogues import LEASE, ME, OTHER, add, draft, index_all

NOW = datetime.now(UTC)
NONE = timedelta(0)


def create(catalogue: SqlCatalogue, **said: object) -> Job:
    plain = Job(
        id=JobId(uuid4()),
        tenant=ME,
        collection="c",
        digest=Digest("m" * 64),
        lines=0,
        fetches=False,
        created_at=NOW,
        finished_at=None,
        error=None,
    )
    made = replace(plain, **said)  # type: ignore[arg-type]  # the caller names fields
    catalogue.create_job(made)
    return made


def claim(catalogue: SqlCatalogue, lease: timedelta = LEASE) -> JobClaim:
    got = catalogue.claim_job(lease=lease)
    assert got is not None
    return got


def refusal(line: int) -> Refusal:
    return Refusal(line=line, name=f"n{line}", kind="BadManifest", message="no")


def advance(
    catalogue: SqlCatalogue, held: JobClaim, lines: int, *drafts: Draft, refused: tuple[int, ...] = ()
) -> list[Outcome] | None:
    done = catalogue.advance_job(
        held, lines=lines, drafts=drafts, refusals=[refusal(line) for line in refused], lease=LEASE
    )
    return None if done is None else [outcome for _, outcome in done]


def names(catalogue: SqlCatalogue) -> dict[str, str]:
    return {asset.external_id: asset.digest[0] for asset, _ in catalogue.assets(ME, "c", limit=1000)}


def test_a_job_is_kept_whole_and_listed_newest_first(catalogue: SqlCatalogue) -> None:
    older = create(catalogue, created_at=NOW - timedelta(hours=1), fetches=True)
    newer = create(catalogue)
    catalogue.create_collection(Collection(name="d", fields={}, profile="p"))
    create(catalogue, collection="d")
    assert catalogue.job(ME, older.id) == older
    assert catalogue.jobs(ME, "c") == [newer, older]
    assert catalogue.jobs(ME, "c", limit=1) == [newer]
    with pytest.raises(Conflict):
        create(catalogue, collection="nowhere")


def test_a_job_of_a_tenant_is_never_seen_by_another(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    advance(catalogue, claim(catalogue), 2, draft(), refused=(2,))
    assert catalogue.jobs(OTHER, "c") == []
    for look in (catalogue.job, catalogue.job_counts, catalogue.refusals):
        look(ME, job.id)
        for tenant, job_id in ((OTHER, job.id), (ME, JobId(uuid4()))):
            with pytest.raises(NoSuchJob):
                look(tenant, job_id)
    assert [asset.tenant for asset, _ in catalogue.assets(ME, "c")] == [ME]


def test_the_least_done_job_is_claimed_first_and_the_oldest_of_those(catalogue: SqlCatalogue) -> None:
    old, young = create(catalogue, created_at=NOW - timedelta(hours=1)), create(catalogue)
    first = claim(catalogue)
    assert first.job == old
    advance(catalogue, first, 10)
    catalogue.release_job(first)
    assert [claim(catalogue).job.id, claim(catalogue).job.id] == [young.id, old.id]
    assert catalogue.claim_job(lease=LEASE) is None


def test_two_workers_never_hold_the_same_job(catalogue: SqlCatalogue) -> None:
    made = {create(catalogue).id for _ in range(30)}
    held: list[JobId] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        while got := catalogue.claim_job(lease=LEASE):
            held.append(got.job.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == len(set(held))
    while got := catalogue.claim_job(lease=LEASE):  # a claimer that only met locked rows may have stopped early
        held.append(got.job.id)
    assert sorted(held) == sorted(made)


def test_a_job_waits_while_it_is_unfinished_and_nobody_holds_it(catalogue: SqlCatalogue) -> None:
    assert not catalogue.jobs_wait()
    create(catalogue)
    assert catalogue.jobs_wait()
    held = claim(catalogue)
    assert not catalogue.jobs_wait()
    catalogue.release_job(held)
    assert catalogue.jobs_wait()
    claim(catalogue, NONE)
    assert catalogue.jobs_wait(), "its worker fell silent"
    catalogue.finish_job(claim(catalogue), error=None)
    assert not catalogue.jobs_wait()


def test_lines_are_registered_and_counted_in_one_step(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("b"))
    job = create(catalogue)
    held = claim(catalogue)
    said = advance(catalogue, held, 4, draft("a"), draft("b"), draft("b", "y"), refused=(2,))
    assert said == [Outcome.ADDED, Outcome.CHANGED, Outcome.CHANGED]
    assert catalogue.job(ME, job.id).lines == 4
    assert names(catalogue) == {"a": "x", "b": "y"}
    assert catalogue.job_counts(ME, job.id)[:2] == (dict.fromkeys(State, 0) | {State.PENDING: 2}, 1)


def test_the_same_lines_twice_are_once_and_the_count_never_falls(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    held = claim(catalogue)
    assert advance(catalogue, held, 3, draft("a"), refused=(2, 3)) == [Outcome.ADDED]
    add(catalogue, draft("a", "z"))  # somebody replaced it since
    assert advance(catalogue, held, 3, draft("a"), refused=(2, 3)) == []
    assert advance(catalogue, held, 2, draft("b"), refused=(2,)) == []
    assert catalogue.job(ME, job.id).lines == 3
    assert names(catalogue) == {"a": "z"}
    assert [each.line for each in catalogue.refusals(ME, job.id)] == [2, 3]


def test_who_lost_a_job_changes_nothing_of_it(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    late = claim(catalogue, NONE)
    held = claim(catalogue)
    assert advance(catalogue, late, 1, draft("late"), refused=(1,)) is None
    catalogue.finish_job(late, error="late")
    catalogue.release_job(late)
    assert catalogue.job(ME, job.id) == job
    assert names(catalogue) == {}
    assert catalogue.claim_job(lease=LEASE) is None, "the other's lease stands"
    assert advance(catalogue, held, 1, draft("a")) == [Outcome.ADDED]
    catalogue.finish_job(held, error=None)
    assert advance(catalogue, held, 2, draft("b")) is None, "it has ended"
    catalogue.finish_job(held, error="again")
    ended = catalogue.job(ME, job.id)
    assert (ended.lines, ended.error, ended.finished_at is not None) == (1, None, True)


def test_going_on_renews_the_lease(catalogue: SqlCatalogue) -> None:
    create(catalogue)
    held = claim(catalogue, NONE)
    advance(catalogue, held, 1)
    assert catalogue.claim_job(lease=LEASE) is None


def test_a_job_that_ended_keeps_its_error_and_is_not_claimed_again(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    catalogue.finish_job(claim(catalogue), error="the manifest is gone")
    ended = catalogue.job(ME, job.id)
    assert ended.error == "the manifest is gone"
    assert ended.finished_at is not None
    assert ended.finished_at >= NOW
    assert catalogue.claim_job(lease=LEASE) is None


def test_a_job_that_kills_its_workers_ends_and_one_that_gets_on_does_not(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    for _ in range(3):  # the catalogue allows two attempts
        catalogue.release_job(claim(catalogue))  # counts none
    for lines in range(1, 4):
        advance(catalogue, claim(catalogue, NONE), lines)
        with_lease_over(catalogue)  # each died, but over other lines
    claim(catalogue, NONE)
    assert catalogue.claim_job(lease=LEASE) is None
    ended = catalogue.job(ME, job.id)
    assert ended.finished_at is not None
    assert "2 workers in a row" in (ended.error or "")


def with_lease_over(catalogue: SqlCatalogue) -> None:
    with catalogue.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE jobs SET expires_at = created_at")


def test_the_counts_follow_the_jobs_assets_that_are_still_there(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    assert catalogue.job_counts(ME, job.id) == (dict.fromkeys(State, 0), 0, NONE)
    add(catalogue, draft("elsewhere"))
    advance(catalogue, claim(catalogue), 5, *(draft(f"a{i}") for i in range(5)))
    counts, refused, oldest = catalogue.job_counts(ME, job.id)
    assert (counts[State.PENDING], refused) == (5, 0)
    assert NONE < oldest < timedelta(minutes=1)
    assert index_all(catalogue) == 6
    ids = {name: catalogue.asset(ME, "c", name).id for name in ("a0", "a1", "a2")}
    catalogue.remove(ME, "c", [ids["a0"]])
    assert catalogue.job_counts(ME, job.id)[0] == dict.fromkeys(State, 0) | {State.INDEXED: 4}
    catalogue.purge(catalogue.removed(limit=10))
    add(catalogue, draft("a1", "y"), draft("a2", "y"))
    [held] = catalogue.claim("c", worker="w", lease=LEASE, limit=1, ids=[ids["a1"]])
    counts, _, oldest = catalogue.job_counts(ME, job.id)
    assert counts == {State.INDEXED: 2, State.PENDING: 1, State.WORKING: 1, State.FAILED: 0}
    assert oldest > NONE
    catalogue.fail(held, kind="CorruptMedia", message="it is", retry_in=None)
    assert catalogue.job_counts(ME, job.id)[0][State.FAILED] == 1
    index_all(catalogue)
    assert catalogue.job_counts(ME, job.id)[2] == NONE, "what failed waits for nobody"


def test_refusals_come_in_order_page_by_page(catalogue: SqlCatalogue) -> None:
    job = create(catalogue)
    held = claim(catalogue)
    for start in (1, 121):  # more than one statement holds
        advance(catalogue, held, start + 119, refused=tuple(range(start, start + 120)))
    pages, after = [], 0
    while page := catalogue.refusals(ME, job.id, after=after, limit=90):
        pages.append(len(page))
        assert page == [refusal(line) for line in range(after + 1, after + 1 + len(page))]
        after = page[-1].line
    assert pages == [90, 90, 60]


def test_finished_jobs_are_pruned_with_all_that_hangs_on_them(catalogue: SqlCatalogue) -> None:
    old = create(catalogue, digest=Digest("o" * 64))
    held = claim(catalogue)
    advance(catalogue, held, 2, draft("a"), refused=(2,))
    catalogue.finish_job(held, error=None)
    shared = create(catalogue, digest=Digest("s" * 64))
    catalogue.finish_job(claim(catalogue), error="no")
    between = datetime.now(UTC)
    waiting = create(catalogue, digest=Digest("s" * 64), created_at=NOW - timedelta(days=99))
    assert catalogue.prune(before=NOW) == []
    assert catalogue.prune(before=between) == ["o" * 64], "the other manifest is used by the job that waits"
    assert catalogue.jobs(ME, "c") == [waiting]
    for gone in (old, shared):
        with pytest.raises(NoSuchJob):
            catalogue.job(ME, gone.id)
    assert names(catalogue) == {"a": "x"}, "what it registered stays"
    with catalogue.engine.begin() as conn:
        for table in ("job_assets", "job_refusals"):
            assert conn.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0


def test_bytes_that_a_job_uses_are_not_free_to_be_erased(catalogue: SqlCatalogue) -> None:
    manifest = Digest("x" * 64)
    add(catalogue, draft("a"), draft("b", "y"))
    create(catalogue, digest=manifest)
    assert (catalogue.uses(manifest), catalogue.uses(Digest("y" * 64)), catalogue.uses(Digest("z" * 64))) == (
        True,
        True,
        False,
    )
    catalogue.remove(ME, "c", [catalogue.asset(ME, "c", name).id for name in ("a", "b")])
    assert catalogue.purge(catalogue.removed(limit=10)) == ["y" * 64]
    assert catalogue.uses(manifest)
    held = claim(catalogue)
    advance(catalogue, held, 1, draft("c", "x"))
    catalogue.finish_job(held, error=None)
    assert catalogue.prune(before=datetime.now(UTC)) == [], "an asset has the same bytes"


def test_receipts_can_be_paged_for_one_tenant(catalogue: SqlCatalogue) -> None:
    mine = add(catalogue, draft("a"), draft("b"))
    others = add(catalogue, draft("a"), tenant=OTHER)
    index_all(catalogue)
    index = catalogue.serving("c")
    assert {each[0] for each in catalogue.signed(index)} == {*mine, *others}
    assert [each[0] for each in catalogue.signed(index, tenant=OTHER)] == others
    [first] = catalogue.signed(index, tenant=ME, limit=1)
    [second] = catalogue.signed(index, tenant=ME, after=first[0])
    assert {first[0], second[0]} == set(mine)
