"""The Python door: `from quiver import Quiver`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any
from uuid import UUID

from core.errors import BadQuery, NoSuchAsset, Refused
from core.fields import parse_fields
from core.filters import Filter
from core.records import Collection, Failure, Outcome
from core.runtime.wiring import Parts, open_parts
from core.types import Asset, AssetId, Content, Image, Modality, Tenant, Text
from ingest.decode.thumbnail import THUMBNAIL, thumbnail
from ingest.files import opened, printable, reading
from ingest.sniff import sniff
from ingest.sources.paths import items
from quiver.reports import AssetView, CollectionStatus, IngestReport, Progress, Removed
from quiver.sheet import contact_sheet
from retrieval.expression import parse
from retrieval.request import Answer, Hit, Like, SearchRequest
from retrieval.search import search
from workers.collections import ensure
from workers.decoding import decode, limits_of
from workers.indexing import Tally
from workers.intake import Intake, register
from workers.lanes import Lanes
from workers.reconcile import Drift, reconcile
from workers.removal import remove

PathLike = str | Path
PATIENCE = 30.0  # seconds to wait for workers that are at what is removed


class Quiver:
    """Ingest, search and keep collections. Open one with `Quiver.open`; close it, or use it in a `with`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tenant = Tenant(parts.settings.tenant)

    @classmethod
    def open(cls, data: PathLike | None = None, **settings: Any) -> Quiver:
        """Everything embedded in the folder `data`, or what the settings name. Parts open when they are needed.

        Raises UnknownSetting, Misconfigured.
        """
        return cls(open_parts(data=Path(data) if data is not None else None, **settings))

    def __enter__(self) -> Quiver:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections. Harmless twice."""
        self._parts.close()

    def ingest(
        self,
        *paths: PathLike,
        collection: str,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        profile: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IngestReport:
        """Take in files, folders and JSONL manifests; make the collection if there is none; index what lacks points.

        Running it twice changes nothing. One bad file costs one file: see the report's `refused` and `failures`.
        With a broker set, workers index. Raises NoSuchPath, Conflict, BadField, UnknownProfile, Unavailable.
        """
        began = perf_counter()
        given = [Path(path) for path in paths]
        total = sum(1 for _ in items(given))
        declared = None if fields is None else parse_fields(_declarations(fields))
        made = ensure(self._parts, collection, declared, profile)
        intake, tally = Intake(), Tally()

        def tell() -> None:
            if on_progress is not None:
                fresh = intake.outcomes[Outcome.ADDED] + intake.outcomes[Outcome.CHANGED]
                on_progress(
                    Progress(
                        total=total,
                        registered=intake.seen,
                        to_index=fresh,
                        indexed=tally.indexed,
                        failed=tally.failed + len(intake.refused),
                    )
                )

        def registered(now: Intake) -> None:
            nonlocal intake
            intake = now
            tell()

        def indexed(now: Tally) -> None:
            nonlocal tally
            tally = now
            tell()

        if self._parts.settings.broker_url is not None:
            from workers.tasks import enqueue

            register(self._parts, self._tenant, made, items(given), enqueue(self._parts), on_progress=registered)
        else:
            self._parts.store.create(self._parts.catalogue.serving(collection))
            with Lanes(self._parts, on_progress=indexed) as lanes:
                register(self._parts, self._tenant, made, items(given), lanes.submit, on_progress=registered)
                lanes.drain()
        added, changed = intake.outcomes[Outcome.ADDED], intake.outcomes[Outcome.CHANGED]
        return IngestReport(
            added=added,
            changed=changed,
            unchanged=intake.outcomes[Outcome.UNCHANGED],
            indexed=tally.indexed,
            enqueued=self._parts.settings.broker_url is not None and added + changed > 0,
            refused=tuple(intake.refused),
            failures=tuple(one for one in self.failures(collection, limit=100_000) if one.asset_id in intake.ids),
            seconds=perf_counter() - began,
            stages=dict(tally.seconds),
        )

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        where: str | Filter | None = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> Answer:
        """Hits for a text, an image (a path or bytes) or an asset (id or external id), best first.

        `where` is an expression over the declared fields, or a filter of core.filters. Raises NoSuchCollection,
        NoSuchAsset, BadFilter, BadQuery, NoSpaceFor, and what a bad query image raises.
        """
        kept = self._parts.catalogue.collection(collection)
        query: Content | Like
        match text, image, like:
            case str(words), None, None:
                query = Text(words)
            case None, (str() | Path() | bytes()) as picture, None:
                query = self._image(kept, picture)
            case None, None, (str() | UUID()) as key:
                query = Like(self._asset(collection, key).id)
            case _:
                raise BadQuery("a query is one of: a text, an image, an asset to be like")
        request = SearchRequest(
            tenant=self._tenant,
            collection=collection,
            query=query,
            modalities=_modalities(modality),
            where=parse(where, kept.fields) if isinstance(where, str) else where,
            limit=limit,
            exact=exact,
        )
        return search(
            request,
            catalogue=self._parts.catalogue,
            store=self._parts.store,
            encoder_of=lambda space: self._parts.encoders.of_space(kept.profile, space),
        )

    def _image(self, collection: Collection, image: PathLike | bytes) -> Content:
        limits = limits_of(self._parts)
        side = max(encoder.pixels for encoder in self._parts.encoders.of_profile(collection.profile))
        try:
            with nullcontext(io.BytesIO(image)) if isinstance(image, bytes) else opened(Path(image)) as source:
                kind = sniff(source, name="", limits=limits)
                if kind.modality is not Modality.IMAGE:
                    raise BadQuery(f"it is {kind.media_type}: give an image, or search by text")
                with reading():
                    source.seek(0)
                    data = source.read()
            [segment] = decode(self._parts, data, modality=kind.modality, media_type=kind.media_type, side=side)
            return segment.content
        except Refused as exc:
            name = "the query image" if isinstance(image, bytes) else printable(str(image))
            raise type(exc)(f"{name}: {exc}") from exc

    def remove(self, collection: str, *keys: str | UUID) -> Removed:
        """Remove assets by id or external id: found no more on return. Unknown ones are named.

        Waits for workers that are at them. Raises Unavailable when one takes longer than half a minute.
        """
        self._parts.catalogue.collection(collection)
        ids: list[AssetId] = []
        unknown: list[str] = []
        for key in keys:
            try:
                ids.append(self._asset(collection, key).id)
            except NoSuchAsset:
                unknown.append(str(key))
        removed = remove(self._parts, self._tenant, collection, ids, patience=PATIENCE)
        return Removed(removed=removed, unknown=tuple(unknown))

    def status(self, collection: str | None = None) -> list[CollectionStatus]:
        """One collection, or all."""
        catalogue = self._parts.catalogue
        chosen = [catalogue.collection(collection)] if collection is not None else catalogue.collections()
        return [
            CollectionStatus(
                name=each.name,
                profile=each.profile,
                fields=each.fields,
                encoders={space.name: space.model for index in catalogue.indexes(each.name) for space in index.spaces},
                counts=catalogue.counts(self._tenant, each.name),
            )
            for each in chosen
        ]

    def show(self, collection: str, key: str | UUID) -> AssetView:
        """One asset by id or external id. Raises NoSuchAsset."""
        asset = self._asset(collection, key)
        failed = [one for one in self.failures(collection) if one.asset_id == asset.id]
        return AssetView(
            asset=asset,
            state=self._parts.catalogue.state(asset),
            failure=failed[0] if failed else None,
            path=self._parts.blobs.path(asset.digest),
        )

    def failures(
        self, collection: str, *, kind: str | None = None, older_than: timedelta | None = None, limit: int = 1000
    ) -> list[Failure]:
        """What could not be indexed, and why, newest first; of one class, or last tried so long ago."""
        self._parts.catalogue.collection(collection)
        before = None if older_than is None else datetime.now(UTC) - older_than
        return self._parts.catalogue.failures(self._tenant, collection, kind=kind, before=before, limit=limit)

    def retry(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """Try failed assets again: those named, or all of a class and age; how many. Indexes them unless workers do."""
        ids = self._failed(collection, keys, kind, older_than)
        struck = self._parts.catalogue.forgive(self._tenant, collection, ids)
        if self._parts.settings.broker_url is None:
            self.sweep()
        return struck

    def discard(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """Give failed assets up: remove those named, or all of a class and age; how many."""
        ids = self._failed(collection, keys, kind, older_than)
        return remove(self._parts, self._tenant, collection, ids, patience=PATIENCE)

    def _failed(
        self, collection: str, keys: Sequence[str | UUID], kind: str | None, older_than: timedelta | None
    ) -> list[AssetId]:
        found = self.failures(collection, kind=kind, older_than=older_than, limit=1_000_000)
        named = {self._asset(collection, key).id for key in keys}
        return [one.asset_id for one in found if not named or one.asset_id in named]

    def reconcile(
        self, collection: str, *, repair: bool = False, on_progress: Callable[[Drift], None] | None = None
    ) -> Drift:
        """Compare the catalogue with the index, both ways; with `repair`, make the index agree and index what lacks."""
        drift = reconcile(self._parts, collection, repair=repair, on_progress=on_progress)
        if repair and self._parts.settings.broker_url is None:
            self.sweep()
        return drift

    def sweep(self) -> Tally:
        """Index, here and now, what a crash, an outage or a lost message left behind."""
        with Lanes(self._parts) as lanes:
            lanes.drain()
        return lanes.tally

    def migrate(self) -> None:
        """Bring the catalogue's tables to the newest migration. Opening does it too."""
        self._parts.catalogue.collections()

    def content(self, collection: str, key: str | UUID) -> bytes:
        """The original bytes of an asset."""
        asset = self._asset(collection, key)
        with self._parts.blobs.open(asset.digest) as source:
            return source.read()

    def _asset(self, collection: str, key: str | UUID) -> Asset:
        """By id, or else by external id, which may be spelt like an id."""
        said = str(key)
        try:
            return self._parts.catalogue.asset(self._tenant, collection, AssetId(UUID(said)))
        except (ValueError, NoSuchAsset):
            return self._parts.catalogue.asset(self._tenant, collection, said)

    def contact_sheet(self, collection: str, searches: Sequence[tuple[str, Answer]]) -> str:
        """The hits of searches as one HTML page with thumbnails inside."""

        def picture(hit: Hit) -> bytes:
            data = self.content(collection, hit.asset)
            [segment] = decode(self._parts, data, modality=hit.modality, media_type=hit.media_type, side=THUMBNAIL)
            assert isinstance(segment.content, Image)
            return thumbnail(segment.content)

        return contact_sheet(f"{collection}: {len(searches)} searches", searches, picture)


def _declarations(fields: Mapping[str, str] | Iterable[str]) -> list[str]:
    return [f"{name}={kind}" for name, kind in fields.items()] if isinstance(fields, Mapping) else list(fields)


def _modalities(said: str | Modality | Iterable[str] | None) -> frozenset[Modality]:
    if said is None:
        return frozenset(Modality)
    names: Sequence[str] = [said] if isinstance(said, str) else list(said)
    try:
        return frozenset(Modality(name) for name in names)
    except ValueError as exc:
        raise BadQuery(f"{exc}: a modality is one of {', '.join(Modality)}") from exc
