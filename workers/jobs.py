"""Bulk jobs: manifests that somebody sent, taken in by whichever worker has time.

A batch of lines and how far the job is are one transaction: a worker may die at any line, and none is taken in twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf
from threading import Event
from time import monotonic
from typing import BinaryIO

from core.desk import Job, JobClaim, Refusal
from core.errors import BadManifest, CatalogueDown, Defect, Fault, NoSuchAsset, Refused
from core.records import Draft, Outcome
from core.runtime import logs
from core.runtime.wiring import Parts
from core.types import AssetId
from ingest.sources.manifest import Item, read_sent
from workers.intake import LONGEST_ID, Drafts
from workers.recording import forget_old
from workers.removal import erase_unused

log = logging.getLogger(__name__)
SLICE = 60.0  # seconds after which a job makes room for another
LEASE = 60.0  # seconds after which a silent worker's job is given to another, where no line takes long to fetch
LONGEST_MESSAGE = 2000  # characters of a refusal that are kept

Submit = Callable[[str, Sequence[AssetId]], None]


def run_jobs(
    parts: Parts,
    submit: Submit,
    stopping: Event | None = None,
    *,
    seconds: float = inf,
    between: Callable[[], object] | None = None,
) -> int:
    """Take in jobs until none is left that nobody holds, or for so many seconds; how many ended.

    `between` is called after each batch. Raises Unavailable when a part is down: the job is handed back.
    """
    stop = stopping or Event()
    until = monotonic() + seconds
    ended = 0
    while not stop.is_set():
        claim = parts.catalogue.claim_job(lease=lease_of(parts))
        if claim is None:
            break
        ended += take_in(parts, claim, submit, stopping=stop, between=between)
        if monotonic() >= until:
            break
    return ended


def take_in(
    parts: Parts, claim: JobClaim, submit: Submit, *, stopping: Event, between: Callable[[], object] | None = None
) -> bool:
    """Take in the lines that are not done yet; whether the job ended. It did not when another has it by now, and is
    handed back when its time is over or the worker is told to stop.

    A line that is refused stops no other. A manifest that cannot be read ends the job with an error.
    """
    with logs.bound(job=str(claim.job.id)):
        try:
            ended = _take_in(parts, claim, submit, stopping, between)
            if ended:
                parts.catalogue.finish_job(claim, error=None)
            else:
                parts.catalogue.release_job(claim)
            return ended
        except (Refused, Defect) as fault:
            log.warning("job %s ended: %s", claim.job.id, fault)
            parts.catalogue.finish_job(claim, error=str(fault))
            return True
        except BaseException as exc:
            if isinstance(exc, Fault) or not isinstance(exc, Exception):
                with suppress(CatalogueDown):  # then the lease runs out by itself
                    parts.catalogue.release_job(claim)
            raise  # of anything else the attempt counts: it may come again at the same line


def _take_in(
    parts: Parts, claim: JobClaim, submit: Submit, stopping: Event, between: Callable[[], object] | None
) -> bool:
    batch = _Batch(parts, claim, submit)
    until = inf
    with manifest_of(parts, claim.job) as source:
        for number, item in read_sent(source, parts.catalogue.collection(claim.job.collection).fields):
            if number <= claim.job.lines:
                continue
            until = min(until, monotonic() + SLICE)  # reading what is done does not count
            batch.take(number, item)
            if not (batch.is_full or stopping.is_set()):
                continue
            if not batch.commit():
                return False
            if between is not None:
                between()
            if stopping.is_set() or monotonic() >= until:
                return False
    return batch.commit()


class _Batch:
    """Lines on their way into the catalogue."""

    def __init__(self, parts: Parts, claim: JobClaim, submit: Submit) -> None:
        self._parts, self._claim, self._submit = parts, claim, submit
        self._drafts = Drafts(parts, parts.catalogue.collection(claim.job.collection), fetches=claim.job.fetches)
        self._lease = lease_of(parts)
        self._clear()

    def _clear(self) -> None:
        self._made: list[tuple[Item, Draft]] = []
        self._refused: list[Refusal] = []
        self._line = 0
        self._began = monotonic()

    @property
    def is_full(self) -> bool:
        """Enough lines, or so slow that the lease must be renewed."""
        many = len(self._made) + len(self._refused) >= self._parts.settings.batch
        return many or monotonic() - self._began >= self._lease.total_seconds() / 4

    def take(self, line: int, item: Item | Refused) -> None:
        """A draft of it, or a refusal."""
        self._line = line
        if isinstance(item, Refused):
            self._refused.append(_refusal(line, "", item))
            return
        try:
            self._made.append((item, self._drafts.of(item)))
        except (Refused, Defect) as fault:
            self._refused.append(_refusal(line, item.external_id, fault))

    def commit(self) -> bool:
        """Register what was taken; False when the job is another's by now."""
        if not self._line:
            return True
        done = self._parts.catalogue.advance_job(
            self._claim,
            lines=self._line,
            drafts=[made for _, made in self._made],
            refusals=self._refused,
            lease=self._lease,
        )
        if done is None:
            return False
        with suppress(CatalogueDown):  # a figure less
            self._parts.catalogue.spend(self._claim.job.collection, self._drafts.spent(), 0)
        self._drafts.restore(self._made)  # what is lost all the same fails when it is indexed
        self._clear()
        if ids := [asset_id for asset_id, outcome in done if outcome is not Outcome.UNCHANGED]:
            self._submit(self._claim.job.collection, ids)
        return True


def lease_of(parts: Parts) -> timedelta:
    """How long a worker may be silent over a job."""
    return timedelta(seconds=max(LEASE, 4 * parts.settings.fetch_seconds))


def manifest_of(parts: Parts, job: Job) -> BinaryIO:
    """What somebody sent, to be read. The caller closes. Raises BadManifest when it is lost."""
    try:
        return parts.blobs.open(job.digest)
    except NoSuchAsset:
        parts.blobs.restore(job.digest)  # `prune` may just be looking whether anybody uses it
    try:
        return parts.blobs.open(job.digest)
    except NoSuchAsset as exc:
        raise BadManifest("the blob store has lost the manifest: send it again") from exc


def _refusal(line: int, name: str, fault: Fault) -> Refusal:
    return Refusal(
        line=line,
        name=_kept(name, LONGEST_ID),
        kind=fault.kind,
        message=_kept(str(fault), LONGEST_MESSAGE),
    )


def _kept(said: str, most: int) -> str:
    """What PostgreSQL can keep of it: no NUL."""
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]


def prune(parts: Parts) -> int:
    """Forget jobs that finished `keep_days` ago, replies, and old searches; how many manifests went with them."""
    forget_old(parts)
    gone = parts.catalogue.prune(before=datetime.now(UTC) - timedelta(days=parts.settings.keep_days))
    return erase_unused(parts, gone)
