"""Handing over to a server: collections, files, texts, addresses, and bulk jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from core.desk import Refusal
from core.errors import BadQuery, Unavailable
from core.fields import parse_fields
from core.records import State
from ingest.sources.manifest import MEDIA_TYPES, form_of
from ingest.sources.upload import upload_id
from quiver.remote import reading
from quiver.remote.asking import place_of
from quiver.remote.evaluating import Evaluating
from quiver.remote.questions import stream_of
from quiver.reports import Added, CollectionStatus, JobStatus

PathLike = str | Path
SENDERS = 8  # files that are sent at once
LOOK = 0.1  # seconds between looks at what is waited for


class Handing(Evaluating):
    """What goes to a server, one thing or one manifest at a time."""

    def create(
        self,
        collection: str,
        *,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        profile: str | None = None,
        reads: Iterable[str] | None = None,
    ) -> CollectionStatus:
        """As `Quiver.create`."""
        body: dict[str, Any] | None = None
        if fields is not None or profile is not None or reads is not None:
            said = parse_fields(fields) if fields is not None else {}
            body = {"fields": {name: str(kind) for name, kind in said.items()}}
            body |= {"profile": profile} if profile is not None else {}
            body |= {"reads": sorted(map(str, reads))} if reads is not None else {}
        return reading.collection(self._wire.ask("PUT", place_of(collection), json=body).json())

    def add(
        self,
        collection: str,
        *,
        text: str | None = None,
        file: PathLike | bytes | BinaryIO | None = None,
        url: str | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> Added:
        """As `Quiver.add`: durable on return, found a moment later (`wait`)."""
        where = place_of(collection, "assets")
        match text, file, url:
            case (str(), None, None) | (None, None, str()):
                body = {"text": text, "url": url, "id": id, "metadata": dict(metadata or {})}
                said = self._wire.send(where, json={key: value for key, value in body.items() if value is not None})
            case None, given, None if given is not None:
                with stream_of(given) as (source, hint):
                    called = id or name or hint or upload_id(_digest(source))
                    form = {"metadata": json.dumps(dict(metadata or {})), "id": called}
                    said = self._wire.send(where, files=[("file", (name or hint or called, source))], data=form)
            case _:
                raise BadQuery("give one of: a text, a file, a URL")
        [one] = said["assets"]
        return reading.added(one)

    def add_texts(self, collection: str, texts: Sequence[tuple[str | None, str, Mapping[str, Any]]]) -> list[Added]:
        """As `Quiver.add_texts`."""
        with ThreadPoolExecutor(SENDERS) as pool:
            waiting = [pool.submit(self.add, collection, text=t, id=key, metadata=meta) for key, t, meta in texts]
            return [each.result() for each in waiting]

    def bulk(self, collection: str, manifest: BinaryIO, *, key: str | None = None) -> JobStatus:
        """As `Quiver.bulk`: rows hold "text" or "url"."""
        headers = {"Content-Type": MEDIA_TYPES[form_of(manifest)], "Idempotency-Key": key or uuid4().hex}
        answer = self._wire.ask("POST", place_of(collection, "assets"), content=manifest.read(), headers=headers)
        return reading.job(answer.json()["job"])

    def job(self, job_id: UUID | str) -> JobStatus:
        """As `Quiver.job`."""
        return reading.job(self._wire.get(f"/v1/jobs/{job_id}"))

    def jobs(self, collection: str, *, limit: int = 100) -> list[JobStatus]:
        """As `Quiver.jobs`."""
        return [reading.job(each) for each in self._wire.get(place_of(collection, "jobs"), limit=limit)]

    def refusals(self, job_id: UUID | str, *, after: int = 0, limit: int = 1000) -> list[Refusal]:
        """As `Quiver.refusals`."""
        found = self._wire.get(f"/v1/jobs/{job_id}/refusals", after=after, limit=limit)
        return [reading.refusal(one) for one in found]

    def follow(self, job_id: UUID | str) -> Iterator[JobStatus]:
        """A job whenever it changed, until it is done."""
        with self._wire.stream(f"/v1/jobs/{job_id}/events") as lines:
            for line in lines:
                if line.startswith("data: {"):
                    yield reading.job(json.loads(line.removeprefix("data: ")))

    def wait(self, collection: str, *keys: str | UUID, timeout: float | None = None) -> None:
        """As `Quiver.wait`."""
        until = None if timeout is None else monotonic() + timeout
        waiting = (State.PENDING, State.WORKING)
        while True:
            if keys:
                left = sum(self.show(collection, key).state in waiting for key in keys)
            else:
                [status] = self.status(collection)
                left = sum(status.counts[state] for state in waiting)
            if not left:
                return
            if until is not None and monotonic() >= until:
                raise Unavailable(f"{left} assets of {collection!r} still wait after {timeout:g} s: do workers run?")
            sleep(LOOK)


def _digest(source: BinaryIO) -> str:
    hashed = hashlib.sha256()
    while piece := source.read(1 << 20):
        hashed.update(piece)
    source.seek(0)
    return hashed.hexdigest()
