"""Bulk jobs: what is taken in, what is refused, who sees it and when it is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from core.desk import Job
from core.errors import Fault, NoSuchJob
from core.records import State
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId
from ingest.sources.manifest import Inline
from tests.doubles import Flaky, toy_parts
from tests.flow.bulk import GOOD, OTHER, done_once, run, send, small, texts_of
from tests.flow.promises import ME, check, upkeep
from tests.web import Web, page
from workers import jobs, service
from workers.collections import ensure
from workers.intake import admit, register
from workers.jobs import prune, run_jobs


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = small(tmp_path / "data")
    yield made
    made.close()


def test_every_good_line_is_registered_and_every_bad_one_refused_with_its_number(parts: Parts) -> None:
    job = send(parts)
    assert run(parts) == 1
    done_once(parts, job)
    upkeep(parts)
    check(parts)
    assert parts.catalogue.job_counts(ME, job.id)[0][State.INDEXED] == len(GOOD)
    named = {each.line: each.name for each in parts.catalogue.refusals(ME, job.id)}
    assert (named[4], named[9], named[12]) == ("", "e", "nul\N{REPLACEMENT CHARACTER}")
    assert run(parts) == 0


def test_a_path_of_a_client_is_never_looked_at(parts: Parts, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("red")
    job = send(parts, [{"path": str(secret)}, {"path": str(secret), "text": "red"}])
    run(parts)
    assert texts_of(parts) == {}
    assert [each.kind for each in parts.catalogue.refusals(ME, job.id)] == ["BadManifest", "BadManifest"]


def test_a_job_of_a_tenant_is_never_visible_to_another(parts: Parts) -> None:
    theirs = send(parts, tenant=OTHER)
    run(parts)
    assert texts_of(parts) == {}
    assert texts_of(parts, OTHER) == GOOD
    assert parts.catalogue.jobs(ME, "c") == []
    with pytest.raises(NoSuchJob):
        parts.catalogue.job(ME, theirs.id)


def test_a_worker_that_is_told_to_stop_hands_the_job_back_with_what_is_done(parts: Parts) -> None:
    job = send(parts)
    stopping = Event()

    def submit(_collection: str, _ids: Sequence[AssetId]) -> None:
        stopping.set()

    assert run_jobs(parts, submit, stopping) == 0
    assert parts.catalogue.job(ME, job.id).lines == 4
    assert run_jobs(parts, submit, stopping) == 0, "and takes no other"
    assert parts.catalogue.jobs_wait()
    assert run(parts) == 1
    done_once(parts, job)


def test_a_long_job_makes_room_for_a_short_one(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SLICE", 0.0)
    send(parts, [{"id": f"long-{i}", "text": "red"} for i in range(30)])
    send(parts, [{"id": "short", "text": "red"}])
    order: list[int] = []
    run_jobs(parts, lambda _collection, _ids: order.append(len(texts_of(parts))))
    assert order[:3] == [3, 4, 7], "the short one came second"
    assert len(texts_of(parts)) == 31


def test_a_manifest_that_is_gone_ends_its_job_alone(parts: Parts) -> None:
    lost, fine = send(parts, [{"id": "z", "text": "red"}]), send(parts)
    parts.blobs.discard(lost.digest)
    parts.blobs.erase(lost.digest)
    assert run(parts) == 2
    assert "send it again" in (parts.catalogue.job(ME, lost.id).error or "")
    done_once(parts, fine)


def test_a_manifest_that_is_just_being_looked_at_is_read_all_the_same(parts: Parts) -> None:
    job = send(parts)
    parts.blobs.discard(job.digest)
    run(parts)
    done_once(parts, job)


def test_an_empty_manifest_is_done_at_once(parts: Parts) -> None:
    job = send(parts, ["", " "])
    assert run(parts) == 1
    ended = parts.catalogue.job(ME, job.id)
    assert (ended.lines, ended.error, ended.finished_at is None) == (0, None, False)


def test_a_job_that_was_accepted_is_taken_in_however_much_waits(tmp_path: Path) -> None:
    parts = small(tmp_path, max_waiting_seconds=1e-9)
    made = ensure(parts, "c")
    parts.catalogue.register(ME, "c", [])
    send(parts, [{"id": "first", "text": "red"}])
    run_jobs(parts, lambda _collection, _ids: None)
    with pytest.raises(Fault, match="has waited"):
        admit(parts, made.name)
    job = send(parts)
    assert run_jobs(parts, lambda _collection, _ids: None) == 1
    assert parts.catalogue.job(ME, job.id).error is None
    parts.close()


def test_jobs_are_forgotten_some_days_after_and_their_manifests_with_them(tmp_path: Path) -> None:
    parts = small(tmp_path, keep_days=1e-9)
    shared = {"id": "manifest", "text": json.dumps({"id": "inner", "text": "red"})}
    old, same = send(parts), send(parts, [json.dumps({"id": "inner", "text": "red"})])
    send(parts, [shared])  # an asset with the very bytes of the manifest before
    run(parts)
    waiting = send(parts, [{"id": "waits", "text": "red"}])
    assert prune(parts) == 2
    assert not parts.blobs.has(old.digest)
    assert parts.blobs.has(same.digest)
    assert [each.id for each in parts.catalogue.jobs(ME, "c")] == [waiting.id]
    assert set(texts_of(parts)) == {*GOOD, "inner", "manifest"}
    assert run(parts) == 1
    assert prune(parts) == 1
    upkeep(parts)
    check(parts)
    parts.close()


def test_addresses_are_fetched_for_a_job_that_may(tmp_path: Path) -> None:
    with Web() as web:
        web.pages["/e.txt"] = page(b"a red dog")
        parts = small(tmp_path, fetch_networks="127.0.0.1")
        lines = [{"id": "e", "url": web.url("/e.txt")}, {"url": web.url("/missing")}]
        allowed, forbidden = send(parts, lines, fetches=True), send(parts, lines)
        run(parts)
        assert texts_of(parts) == {"e": "a red dog"}
        assert {each.line: each.kind for each in parts.catalogue.refusals(ME, allowed.id)} == {2: "RemoteFailed"}
        assert [each.kind for each in parts.catalogue.refusals(ME, forbidden.id)] == ["Forbidden"] * 2
        parts.close()


def test_a_young_job_is_kept(parts: Parts) -> None:
    job = send(parts)
    run(parts)
    assert prune(parts) == 0
    done_once(parts, job)


def test_a_manifest_sent_again_while_it_is_pruned_is_kept(tmp_path: Path) -> None:
    parts = small(tmp_path, keep_days=1e-9)
    send(parts)
    run(parts)
    again: list[Job] = []

    def before(name: str) -> None:
        if name == "discard" and not again:
            again.append(send(small(tmp_path)))

    pruning = small(tmp_path, keep_days=1e-9)
    pruning.__dict__["blobs"] = Flaky(pruning.blobs, before)
    assert prune(pruning) == 0
    assert run(parts) == 1
    assert parts.catalogue.job(ME, again[0].id).error is None
    parts.close()


class Until(Event):
    """Told to stop when somebody waits for it and it is time."""

    def __init__(self, time: Callable[[], bool]) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        if self._time():
            self.set()
        return self.is_set()


def test_the_embedded_worker_takes_jobs_in_and_lets_nobody_wait_for_their_end(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path, batch=1)
    parts.__dict__["store"] = MemoryStore()
    beside = small(tmp_path)
    job = send(beside, [{"id": f"j{i}", "text": "red"} for i in range(40)])
    states: list[State] = []

    def live() -> None:
        register(beside, ME, ensure(beside, "c"), [Inline("live", "green")], lambda _collection, _ids: None)

    def look() -> None:
        states.append(beside.catalogue.state(beside.catalogue.asset(ME, "c", "live")))

    advanced: list[str] = []

    def before(name: str) -> None:
        if name == "advance_job":
            advanced.append(name)
            live() if len(advanced) == 5 else None
        if name == "finish_job":
            look()

    parts.__dict__["catalogue"] = Flaky(parts.catalogue, before)

    stopping = Until(lambda: beside.catalogue.job(ME, job.id).finished_at is not None)
    service.serve(parts, stopping, every=0.0)
    assert states == [State.INDEXED]
    assert beside.catalogue.job_counts(ME, job.id)[0][State.INDEXED] == 40
    beside.close()
