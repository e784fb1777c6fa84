"""Taking in: collections, files, texts, addresses, and bulk jobs."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO
from uuid import UUID, uuid4, uuid5

from core.desk import Job, Refusal
from core.errors import BadQuery, BrokerDown, Conflict, Refused, Unavailable
from core.fields import parse_fields
from core.records import Collection, State
from core.types import AssetId, JobId
from ingest.files import opened
from ingest.sources.folder import external_id
from ingest.sources.manifest import Inline, Item, text_id
from ingest.sources.upload import Upload
from ingest.sources.url import Remote, url_id
from quiver.keeping import Keeping
from quiver.reports import Added, CollectionStatus, JobStatus
from workers import serving
from workers.collections import ensure, parse_reads
from workers.intake import Intake, Problem, admit, register
from workers.lanes import Lanes
from workers.removal import erase_unused
from workers.tally import Tally

log = logging.getLogger(__name__)
PathLike = str | Path
Submit = Callable[[str, Sequence[AssetId]], None]
JOBS = UUID("6f3b7a52-0c5e-4a55-8f0e-7d2d5a1c9b10")  # the namespace of jobs that a key names
LOOK = 0.05  # seconds between looks at what is waited for


class Taking(Keeping):
    """What comes in. Where workers run it is handed to them; otherwise it is indexed before the call returns."""

    def create(
        self,
        collection: str,
        *,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        profile: str | None = None,
        reads: Iterable[str] | None = None,
    ) -> CollectionStatus:
        """Make a collection, or find it made alike. Raises Conflict, BadField, UnknownProfile, BadQuery.

        `reads`: which text inside its things they are found by too: caption, ocr, transcript.
        """
        self._ensure(collection, fields, profile, reads)
        [made] = self.status(collection)
        return made

    def _ensure(
        self,
        collection: str,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        profile: str | None = None,
        reads: Iterable[str] | None = None,
    ) -> Collection:
        declared = None if fields is None else parse_fields(fields)
        read = None if reads is None else parse_reads(reads)
        return ensure(self._parts, collection, declared, profile, reads=read, owner=self._owner)

    def add(
        self,
        collection: str,
        *,
        text: str | None = None,
        file: PathLike | bytes | BinaryIO | None = None,
        url: str | None = None,
        id: str | None = None,  # what it is called everywhere else
        metadata: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> Added:
        """Take in one thing: a text, a file (path, bytes, or a stream that can seek), or what is at an address.

        `id` replaces what has that id; without it, it is called by its name, its address, or else its digest. `name` is
        also a hint of what the bytes are. Makes the collection if there is none. Raises what is wrong with it:
        Refused of every kind, Overloaded.
        """
        said = dict(metadata or {})
        match text, file, url:
            case str(words), None, None:
                item: Item = Inline(id or text_id(words), words, said)
            case None, None, str(address):
                item = Remote(id or url_id(address), address, said)
            case None, (str() | Path()) as path, None:
                place = Path(path)
                with opened(place) as source:
                    return self._one(collection, Upload(id or external_id(place.name), source, place.name, said))
            case None, bytes(data), None:
                item = Upload(id or name, io.BytesIO(data), name, said)
            case None, stream, None if stream is not None:
                assert not isinstance(stream, (str, Path, bytes))
                item = Upload(id or name, stream, name, said)
            case _:
                raise BadQuery("give one of: a text, a file, a URL")
        return self._one(collection, item)

    def add_texts(self, collection: str, texts: Sequence[tuple[str | None, str, Mapping[str, Any]]]) -> list[Added]:
        """Take in texts by the batch: id (None: the text's digest), text, metadata. The first fault is raised, and
        those before it are kept: sending all again changes nothing."""
        given = [Inline(said or text_id(text), text, metadata) for said, text, metadata in texts]
        return self._several(collection, given)

    def add_files(self, collection: str, uploads: Sequence[Upload]) -> tuple[list[Added], list[Problem]]:
        """Take in streams that can seek: what was registered, and what was refused. The fault of a single one is
        raised."""
        if len(uploads) == 1:
            return [self._one(collection, uploads[0])], []
        return self._registered(collection, uploads)[:2]

    def _one(self, collection: str, item: Item) -> Added:
        [added] = self._several(collection, [item])
        return added

    def _several(self, collection: str, given: Sequence[Item]) -> list[Added]:
        added, _, faults = self._registered(collection, given)
        if faults:
            raise faults[0]
        return added

    def _registered(self, collection: str, given: Sequence[Item]) -> tuple[list[Added], list[Problem], list[Refused]]:
        made = self._ensure(collection)
        out: list[Added] = []

        def registered(now: Intake) -> None:
            out.extend(Added(id=a, external_id=name, outcome=outcome) for name, a, outcome in now.last)

        taken = Intake()

        def work(submit: Submit) -> None:
            register(
                self._parts,
                self._tenant,
                made,
                given,
                submit,
                on_progress=registered,
                fetches=self._fetches,
                intake=taken,
            )

        self._take(made, work)
        return out, taken.refused, taken.faults

    def _take(
        self,
        made: Collection,
        register: Callable[[Submit], None],
        *,
        on_indexed: Callable[[Tally], None] | None = None,
        everything: bool = False,
    ) -> None:
        """Register and hand on. `everything`: index also what others left."""
        parts = self._parts
        if parts.settings.broker_url is not None:
            from workers.tasks import enqueue

            register(enqueue(parts) if everything else _kept_anyway(enqueue(parts)))
        elif self._woken is not None:
            register(lambda _collection, _ids: None)
            self._woken()
        else:
            serving.made(parts, parts.catalogue.serving(made.name))
            with Lanes(parts, collection=made.name, on_progress=on_indexed) as lanes:
                register(lanes.submit)
                if everything:
                    lanes.drain()

    def bulk(self, collection: str, manifest: BinaryIO, *, key: str | None = None) -> JobStatus:
        """Hand over a manifest of JSON Lines, CSV or Parquet: kept at once, taken in by workers. Rows hold "text" or
        "url".

        With the same `key` it is the same job, however often it is handed over. Without workers it is taken in before
        the call returns. Raises Conflict when the key came with another manifest, Overloaded, and what making a
        collection raises.
        """
        from workers.jobs import run_jobs

        made = self._ensure(collection)
        admit(self._parts, made.name)
        digest, _ = self._parts.blobs.put(manifest)
        job = Job(
            id=JobId(uuid4() if key is None else uuid5(JOBS, f"{self._tenant}\0{made.name}\0{key}")),
            tenant=self._tenant,
            collection=made.name,
            digest=digest,
            lines=0,
            fetches=self._fetches,
            created_at=datetime.now(UTC),
            finished_at=None,
            error=None,
        )
        try:
            self._parts.catalogue.create_job(job)
        except Conflict:
            if self._parts.catalogue.job(self._tenant, job.id).digest != digest:
                erase_unused(self._parts, [digest])
                raise Conflict("that key came with another manifest: use a new key for a new one") from None
            return self.job(job.id)
        if not self._parts.blobs.has(digest):  # the last user of these bytes was purged between our write and our row
            manifest.seek(0)
            self._parts.blobs.put(manifest)
        if self._parts.settings.broker_url is not None:
            from workers.tasks import enqueue_job

            with _not_needed():
                enqueue_job(self._parts)
        elif self._woken is not None:
            self._woken()
        else:
            with Lanes(self._parts, collection=made.name) as lanes:
                run_jobs(self._parts, lanes.submit)
                lanes.drain()
        return self.job(job.id)

    def job(self, job_id: JobId | UUID | str) -> JobStatus:
        """How a bulk job stands. Raises NoSuchJob."""
        wanted = JobId(UUID(str(job_id)))
        found = self._parts.catalogue.job(self._tenant, wanted)
        counts, refused, oldest = self._parts.catalogue.job_counts(self._tenant, wanted)
        refusals = tuple(self._parts.catalogue.refusals(self._tenant, wanted, limit=100)) if refused else ()
        return JobStatus(job=found, counts=counts, refused=refused, refusals=refusals, oldest=oldest)

    def refusals(self, job_id: JobId | UUID | str, *, after: int = 0, limit: int = 1000) -> list[Refusal]:
        """Refused lines of a bulk job beyond a line, in order. Raises NoSuchJob."""
        return self._parts.catalogue.refusals(self._tenant, JobId(UUID(str(job_id))), after=after, limit=limit)

    def jobs(self, collection: str, *, limit: int = 100) -> list[JobStatus]:
        """The bulk jobs of a collection, newest first."""
        kept = self._collection(collection)
        return [self.job(job.id) for job in self._parts.catalogue.jobs(self._tenant, kept.name, limit=limit)]

    def wait(self, collection: str, *keys: str | UUID, timeout: float | None = None) -> None:
        """Until these assets, or all, are indexed or have failed. Raises Unavailable when that takes longer (seconds),
        NoSuchAsset."""
        kept = self._collection(collection)
        until = None if timeout is None else monotonic() + timeout
        while left := self._unsettled(kept, keys):
            if until is not None and monotonic() >= until:
                raise Unavailable(f"{left} assets of {collection!r} still wait after {timeout:g} s: do workers run?")
            sleep(LOOK)

    def _unsettled(self, collection: Collection, keys: tuple[str | UUID, ...]) -> int:
        waiting = (State.PENDING, State.WORKING)
        if not keys:
            counts = self._parts.catalogue.counts(self._tenant, collection.name)
            return sum(counts[state] for state in waiting)
        return sum(self._parts.catalogue.state(self._asset(collection, key)) in waiting for key in keys)


@contextmanager
def _not_needed() -> Iterator[None]:
    """What was registered is found by the next sweep: a broker that is down costs time, and is no reason to refuse."""
    try:
        yield
    except BrokerDown as fault:
        log.warning("%s", fault)


def _kept_anyway(submit: Submit) -> Submit:
    def tell(collection: str, ids: Sequence[AssetId]) -> None:
        with _not_needed():
            submit(collection, ids)

    return tell
