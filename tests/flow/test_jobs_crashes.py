"""Whatever happens while a bulk job is taken in: every good line is registered once, every bad line refused once."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from core.desk import JobClaim
from core.errors import BrokerDown, CatalogueDown, Fault, StoreDown
from core.records import Draft
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId, Digest
from ingest.sources.manifest import Inline, Item
from tests.doubles import Flaky
from tests.flow.bulk import GOOD, done_once, run, send, silence, small
from tests.flow.promises import ME, check, upkeep
from workers import jobs
from workers.intake import Drafts, register
from workers.jobs import run_jobs, take_in


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = small(tmp_path / "data")
    yield made
    made.close()


class Killed(BaseException):
    """The process is gone: nothing it does later happens."""


@dataclass
class Trouble:
    """Parts of which the nth call fails, or at which the process dies."""

    at: int
    kills: bool
    calls: int = 0
    names: list[str] = field(default_factory=list)

    def before(self, name: str) -> None:
        self.calls += 1
        self.names.append(name)
        if self.kills and self.calls >= self.at:
            raise Killed
        if self.calls == self.at:
            raise StoreDown(f"{name}: the {self.at}th call")

    def beset(self, parts: Parts) -> Parts:
        for name in ("catalogue", "blobs"):
            parts.__dict__[name] = Flaky(getattr(parts, name), self.before)
        return parts


@pytest.mark.parametrize("kills", [False, True], ids=["fault", "death"])
def test_a_fault_or_a_death_at_any_call_loses_no_line_and_doubles_none(kills: bool, tmp_path: Path) -> None:
    first = small(tmp_path / "sent")
    job = send(first)
    first.close()
    seen: set[str] = set()
    for at in count(1):
        data, store = tmp_path / str(at), MemoryStore()
        shutil.copytree(first.settings.data, data)
        parts = small(data, store)
        trouble = Trouble(at, kills)
        beset = trouble.beset(small(data, store))
        with suppress(Fault, Killed):
            run_jobs(beset, lambda _collection, _ids: None)
        seen.update(trouble.names)
        silence(parts) if kills else None
        run(parts)
        done_once(parts, job)
        upkeep(parts)
        check(parts)
        parts.close()
        if trouble.calls < at:
            break
    assert {"claim_job", "open", "put", "advance_job", "has", "finish_job"} <= seen


def test_when_nobody_can_be_told_the_job_is_handed_back_and_its_lines_are_found_by_the_sweep(parts: Parts) -> None:
    job = send(parts)

    def submit(_collection: str, _ids: Sequence[AssetId]) -> None:
        raise BrokerDown

    for at in (4, 7, 10):  # the last line of each batch
        with pytest.raises(BrokerDown):
            run_jobs(parts, submit)
        assert parts.catalogue.jobs_wait()
        assert parts.catalogue.job(ME, job.id).lines == at
    run(parts)
    done_once(parts, job)
    upkeep(parts)
    check(parts)


def test_a_line_is_not_registered_again_over_what_was_sent_since(parts: Parts) -> None:
    """The worker dies after it registered the line and before it could do anything else."""
    send(parts)

    def before(name: str) -> None:
        if name == "has":  # the first call after the first batch was committed
            raise Killed

    beset = small(parts.settings.data)
    beset.__dict__["blobs"] = Flaky(beset.blobs, before)
    with pytest.raises(Killed):
        run(beset)
    register(parts, ME, parts.catalogue.collection("c"), [Inline("a", "newer")], lambda _collection, _ids: None)
    silence(parts)
    run(parts)
    asset = parts.catalogue.asset(ME, "c", "a")
    with parts.blobs.open(asset.digest) as source:
        assert source.read() == b"newer"


def test_bytes_that_were_purged_between_our_write_and_our_row_are_stored_again(parts: Parts) -> None:
    job = send(parts)
    red = Digest(hashlib.sha256(GOOD["a"].encode()).hexdigest())
    purged: list[bool] = []

    def before(name: str) -> None:
        if name == "advance_job" and not purged:  # the last asset with these bytes goes just now
            purged.append(parts.blobs.has(red))
            parts.blobs.discard(red)
            parts.blobs.erase(red)

    late = small(parts.settings.data)
    late.__dict__["catalogue"] = Flaky(late.catalogue, before)
    run_jobs(late, lambda _collection, _ids: None)
    assert purged == [True]
    done_once(parts, job)


def test_two_workers_at_one_job_do_each_line_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SLICE", 0.0)  # a batch each, turn and turn about
    job = send(parts)
    others = [small(parts.settings.data, batch_bytes=1 << 20) for _ in range(2)]
    raised: list[BaseException] = []

    def work(mine: Parts) -> None:
        try:
            while parts.catalogue.job(ME, job.id).finished_at is None:
                run_jobs(mine, lambda _collection, _ids: None)
        except BaseException as exc:  # noqa: BLE001  # a thread's exception is the test's
            raised.append(exc)

    threads = [threading.Thread(target=work, args=(each,)) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    done_once(parts, job)


def test_who_was_overtaken_registers_nothing_more(parts: Parts) -> None:
    job = send(parts)
    overtaken: list[int] = []

    def before(name: str) -> None:
        if name == "advance_job" and not overtaken:
            silence(parts)
            overtaken.append(run(parts))

    late = small(parts.settings.data)
    late.__dict__["catalogue"] = Flaky(late.catalogue, before)
    assert run(late) == 0
    assert overtaken == [1]
    done_once(parts, job)


def test_a_defect_stops_the_job_it_is_met_in_after_some_tries_and_no_other(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Drafts.of

    def of(self: Drafts, item: Item) -> Draft:
        if item.external_id == "cursed":
            raise RuntimeError("a defect of ours")
        return real(self, item)

    monkeypatch.setattr(Drafts, "of", of)
    cursed = send(parts, [{"id": "fine", "text": "red"}, {"id": "cursed", "text": "red"}])
    for _ in range(parts.settings.max_attempts):
        with pytest.raises(RuntimeError):
            run(parts)
        silence(parts)
    other = send(parts, [{"id": "other", "text": "red"}])
    assert run(parts) == 1
    assert parts.catalogue.job(ME, other.id).error is None
    assert "look at them" in (parts.catalogue.job(ME, cursed.id).error or "")


def test_while_the_catalogue_is_down_a_job_is_left_for_its_lease_to_end(parts: Parts) -> None:
    job = send(parts)
    down = False

    def before(name: str) -> None:
        nonlocal down
        down = down or name == "advance_job"
        if down:
            raise CatalogueDown

    beset = small(parts.settings.data)
    beset.__dict__["catalogue"] = Flaky(beset.catalogue, before)
    with pytest.raises(CatalogueDown):
        run(beset)
    assert not parts.catalogue.jobs_wait()
    silence(parts)
    run(parts)
    done_once(parts, job)


def claimed(parts: Parts) -> JobClaim:
    claim = parts.catalogue.claim_job(lease=jobs.lease_of(parts))
    assert claim is not None
    return claim


def test_a_slow_line_renews_the_lease_before_the_batch_is_full(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(jobs, "monotonic", lambda: next(ticks) * 20.0)
    job = send(parts, [{"id": f"s{i}", "text": "red"} for i in range(3)])
    sizes: list[int] = []

    def submit(_collection: str, ids: Sequence[AssetId]) -> None:
        sizes.append(len(ids))

    while parts.catalogue.job(ME, job.id).finished_at is None:
        take_in(parts, claimed(parts), submit, stopping=Event())
    assert sizes == [1, 1, 1]
