"""Tasks of bulk jobs, called as functions: what their messages do, and who is told."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu.exceptions import OperationalError

from core.desk import Job
from core.errors import BrokerDown
from core.runtime.wiring import Parts
from core.types import JobId, Tenant
from tests.doubles import toy_parts
from workers import jobs, tasks
from workers.app import QUEUES
from workers.collections import ensure

ME = Tenant("default")


class Messages:
    """In place of an application: what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, int]] = []  # task, queue, how many assets it names
        self.lengths = dict.fromkeys(QUEUES, 0)
        self.down = False

    def send_task(self, name: str, args: tuple[Any, ...] = (), *, queue: str) -> None:
        if self.down:
            raise OperationalError("no route")
        self.sent.append((name, queue, len(args[1]) if args else 0))

    def take(self) -> list[tuple[str, str, int]]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Messages:
    made = Messages()
    monkeypatch.setattr(tasks, "make_app", lambda _settings: made)
    monkeypatch.setattr(tasks, "waiting", lambda app, queue: app.lengths[queue])
    return made


@pytest.fixture
def parts(tmp_path: Path, messages: Messages, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    made = toy_parts(tmp_path, batch=4, keep_days=1e-9)
    monkeypatch.setattr(tasks, "parts", lambda: made)
    yield made
    made.close()


def send(parts: Parts, count: int) -> Job:
    text = "\n".join(json.dumps({"id": str(i), "text": "red"}) for i in range(count))
    digest, _ = parts.blobs.put(io.BytesIO(text.encode()))
    job = Job(
        id=JobId(uuid4()),
        tenant=ME,
        collection=ensure(parts, "c").name,
        digest=digest,
        lines=0,
        fetches=False,
        created_at=datetime.now(UTC),
        finished_at=None,
        error=None,
    )
    parts.catalogue.create_job(job)
    return job


def test_a_message_takes_a_job_in_and_hands_its_assets_on_by_the_batch(parts: Parts, messages: Messages) -> None:
    job = send(parts, 6)
    tasks.take_in_jobs()
    assert parts.catalogue.job(ME, job.id).finished_at is not None
    assert messages.take() == [("quiver.index", "bulk", 4), ("quiver.index", "bulk", 2)]
    tasks.take_in_jobs()
    assert messages.take() == [], "a message that comes twice or late does nothing"


def test_a_long_job_is_another_message_behind_those_of_its_assets(
    parts: Parts, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SLICE", 0.0)
    monkeypatch.setattr(tasks, "SLICE", 0.0)
    job = send(parts, 10)
    for lines in (4, 8):
        tasks.take_in_jobs()
        assert parts.catalogue.job(ME, job.id).lines == lines
        assert messages.take() == [("quiver.index", "bulk", 4), ("quiver.job", "bulk", 0)]


def test_a_sweep_offers_a_job_that_waits_unless_a_message_does(parts: Parts, messages: Messages) -> None:
    tasks.sweep_now()
    assert messages.take() == []
    send(parts, 1)
    messages.lengths["bulk"] = 1
    tasks.sweep_now()
    assert messages.take() == []
    messages.lengths["bulk"] = 0
    tasks.sweep_now()
    assert messages.take() == [("quiver.job", "bulk", 0)]
    assert parts.catalogue.claim_job(lease=jobs.lease_of(parts)) is not None
    tasks.sweep_now()
    assert messages.take() == [], "somebody has it"


def test_workers_are_told_of_a_job_or_the_sender_that_they_were_not(parts: Parts, messages: Messages) -> None:
    tasks.enqueue_job(parts)
    assert messages.take() == [("quiver.job", "bulk", 0)]
    messages.down = True
    with pytest.raises(BrokerDown, match="next sweep finds the job"):
        tasks.enqueue_job(parts)


def test_the_clock_has_old_jobs_forgotten(parts: Parts, messages: Messages) -> None:
    job = send(parts, 1)
    tasks.take_in_jobs()
    tasks.reconcile_now()
    assert parts.catalogue.jobs(ME, "c") == []
    assert not parts.blobs.has(job.digest)
