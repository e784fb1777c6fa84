"""What names an erased thing beside assets and points: manifests of bulk jobs, refusals, replies, recorded queries and
the ledger of sources."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from core.desk import Job
from core.erasing import Erasing, Traces
from core.errors import BadManifest, Refused
from core.runtime.wiring import Parts
from core.types import Digest, Tenant
from ingest.sources.ledger import Ledger
from ingest.sources.manifest import read_sent
from workers.jobs import manifest_of
from workers.removal import erase_unused

log = logging.getLogger(__name__)
JOBS = 1_000_000  # of a collection that are looked at: all there are
ENDED = "an erasure forgot its manifest, which named what was to go: send the lines behind the last one taken in again"

RESTORED = (
    "the catalogue is an older copy, and this job may name what was erased since: send the lines behind the last one "
    "taken in again, without that"
)

Manifests = dict[Digest, frozenset[str] | None]  # external ids by manifest; None: it cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much of it there was."""

    traces: Traces
    manifests: int
    jobs_ended: int
    ledger: int  # rows


def strike(parts: Parts, erasing: Erasing, known: Manifests, beat: Callable[[], None]) -> Swept:
    """Delete all of it. `known` are manifests that were read before."""
    traces = parts.catalogue.strike_traces(erasing)
    names = {target.external_id for target in erasing.targets if target.external_id} | set(erasing.names)
    manifests = ended = 0
    for job in parts.catalogue.jobs(erasing.tenant, erasing.collection, limit=JOBS) if names or erasing.whole else ():
        beat()
        if not parts.blobs.has(job.digest) or not (erasing.whole or _names(parts, job, names, known)):
            continue
        digest, stopped = parts.catalogue.end_job(job.id, error=ENDED)
        erase_unused(parts, [] if parts.catalogue.uses(digest) else [digest])
        manifests += 1
        ended += stopped
    return Swept(traces=traces, manifests=manifests, jobs_ended=ended, ledger=_ledger(parts, erasing, names))


def end_waiting(parts: Parts, tenant: Tenant, collection: str, before: datetime) -> int:
    """End the jobs of an older copy that wait since before an erasure; how many. Receipts hold no names, so each of
    them may bring back what was erased."""
    ended = 0
    for job in parts.catalogue.jobs(tenant, collection, limit=JOBS):
        if job.finished_at is None and job.created_at < before:
            digest, stopped = parts.catalogue.end_job(job.id, error=RESTORED)
            erase_unused(parts, [] if parts.catalogue.uses(digest) else [digest])
            ended += stopped
    return ended


def _names(parts: Parts, job: Job, names: set[str], known: Manifests) -> bool:
    """Whether a manifest names one of them. One that cannot be read to its end is said to: it may."""
    if job.digest not in known:
        known[job.digest] = _external_ids(parts, job)
    held = known[job.digest]
    return held is None or not held.isdisjoint(names)


def _external_ids(parts: Parts, job: Job) -> frozenset[str] | None:
    fields = parts.catalogue.collection(job.collection).fields
    try:
        with manifest_of(parts, job) as source:
            return frozenset(
                item.external_id for _, item in read_sent(source, fields) if not isinstance(item, BadManifest)
            )
    except Refused as fault:
        log.info("the manifest of job %s cannot be read, and is forgotten: %s", job.id, fault.kind)
        return None


def _ledger(parts: Parts, erasing: Erasing, names: set[str]) -> int:
    """Of sources that were read on this machine: others keep a ledger of their own."""
    path = parts.settings.data / "sources.db"
    if not path.exists():
        return 0
    with closing(Ledger(path)) as ledger:
        scope = f"{erasing.tenant}\0{erasing.collection}"
        return ledger.erase(scope, names, [target.asset for target in erasing.targets], whole=erasing.whole)
