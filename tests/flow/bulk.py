"""Bulk jobs over the reference store: what tests send, and what must then be there."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

from core.catalogue.sql import SqlCatalogue
from core.desk import Job
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId, JobId, Tenant
from tests.doubles import toy_parts
from tests.flow.promises import ME
from workers.collections import ensure
from workers.indexing import index_batch
from workers.jobs import run_jobs

OTHER = Tenant("other")
LINES = [
    {"id": "a", "text": "red"},
    "",
    {"id": "b", "text": "green", "metadata": {"n": 1}},
    "{not json",
    {"path": "/etc/passwd"},
    {"id": "a", "text": "another a"},
    {"id": "c", "text": "a blue cat"},
    {"id": "d", "text": " "},
    {"id": "e", "url": "http://127.0.0.1:1/e"},
    {"text": "red dog", "id": "f"},
    {"id": "x" * 2000, "text": "too long a name"},
    {"id": "nul\0", "text": "what PostgreSQL cannot keep"},
    {"id": "g", "text": "coffee"},
]
GOOD = {"a": "red", "b": "green", "c": "a blue cat", "f": "red dog", "g": "coffee"}
BAD = {
    4: "BadManifest",
    5: "BadManifest",
    6: "BadManifest",
    8: "BadManifest",
    9: "Forbidden",
    11: "TooLarge",
    12: "BadMetadata",
}


def small(data: Path, store: MemoryStore | None = None, **said: Any) -> Parts:
    """Parts that take in three lines a batch."""
    parts = toy_parts(data, batch=3, **said)
    parts.__dict__["store"] = store or MemoryStore()
    return parts


def send(parts: Parts, lines: Sequence[Any] = LINES, *, tenant: Tenant = ME, fetches: bool = False) -> Job:
    """What the door does with a bulk request."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    digest, _ = parts.blobs.put(io.BytesIO(text.encode()))
    job = Job(
        id=JobId(uuid4()),
        tenant=tenant,
        collection=ensure(parts, "c").name,
        digest=digest,
        lines=0,
        fetches=fetches,
        created_at=datetime.now(UTC),
        finished_at=None,
        error=None,
    )
    parts.catalogue.create_job(job)
    return job


def texts_of(parts: Parts, tenant: Tenant = ME) -> dict[str, str]:
    said = {}
    for asset, _ in parts.catalogue.assets(tenant, "c", limit=10_000):
        assert asset.generation == 1, f"{asset.external_id} was registered twice"
        with parts.blobs.open(asset.digest) as source:
            said[asset.external_id] = source.read().decode()
    return said


def run(parts: Parts, stopping: Event | None = None) -> int:
    """Take jobs in; what is registered is indexed at once."""
    return run_jobs(parts, lambda collection, ids: _index(parts, collection, ids), stopping)


def _index(parts: Parts, collection: str, ids: Sequence[AssetId]) -> None:
    index_batch(parts, collection, ids)


def done_once(parts: Parts, job: Job) -> None:
    """Raises AssertionError unless every good line of LINES was registered once and every bad one refused once."""
    ended = parts.catalogue.job(ME, job.id)
    assert ended.finished_at is not None
    assert (ended.lines, ended.error) == (len(LINES), None)
    assert texts_of(parts) == GOOD
    refusals = parts.catalogue.refusals(ME, job.id)
    assert {each.line: each.kind for each in refusals} == BAD
    assert len(refusals) == len(BAD)
    counts, refused, _ = parts.catalogue.job_counts(ME, job.id)
    assert (sum(counts.values()), refused) == (len(GOOD), len(BAD))


def silence(parts: Parts) -> None:
    """The leases of all who hold a job run out."""
    catalogue = parts.catalogue
    assert isinstance(catalogue, SqlCatalogue)
    with catalogue.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE jobs SET expires_at = created_at WHERE token IS NOT NULL")
