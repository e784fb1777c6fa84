"""Ingesting: whole sources, again and again, with what they have no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from threading import Event
from time import perf_counter
from typing import Any

from core.errors import BadQuery, CatalogueDown, Fault, NoSuchCollection
from core.records import Outcome
from core.runtime.wiring import open_payloads
from core.timing import add
from core.types import Asset, AssetId
from ingest.sources.ledger import Ledger
from ingest.sources.paths import How, PathLike, sources
from ingest.sources.pick import Pick
from ingest.sources.points import columns_of
from ingest.sources.totals import Totals
from quiver.intake import Submit, Taking
from quiver.reports import IngestReport, Progress
from quiver.watching import watching
from workers.calibrating import tend_one
from workers.curves import LEAST
from workers.decoding import limits_of
from workers.intake import Intake, Problem, Registering
from workers.removal import remove
from workers.sourced import Ran, go_through
from workers.tally import Tally

NEARLY = 0.75  # of what is to be indexed: what scores mean is fitted to as much


class Ingesting(Taking):
    """Sources into collections."""

    def ingest(
        self,
        *places: PathLike,
        collection: str,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        profile: str | None = None,
        reads: Iterable[str] | None = None,
        glob: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sidecars: bool = False,
        columns: Mapping[str, str] | None = None,
        source_key: str | None = None,
        prune: bool = False,
        dry_run: bool = False,
        force: bool = False,
        settling: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IngestReport:
        """Take in what is at these places; make the collection if there is none; index what lacks points.

        A place is a file or a folder; a manifest (`.jsonl`, `.csv`, `.parquet`) or a WebDataset tar given by name; a
        URL of `s3://`, `gs://`, `https://`, or of whatever else fsspec speaks to; `qdrant://HOST:PORT/COLLECTION`, of
        which `columns` names the payload's fields (text, url, path, id) and `source_key` is the API key.
        `glob` and `exclude` are patterns as in .gitignore. `sidecars`: texts beside a file say what it is.

        Running it twice changes nothing, and reads nothing again whose size and times say that it is as it was. One bad
        file costs one file: see the report's `refused` and `failures`. With `prune`, what a place gave once and has no
        more is removed, but not when that may be a mistake, unless `force`; `dry_run` only says what that would be.
        `settling` leaves out what may still be being written. With a broker set, workers index. Raises NoSuchPath,
        BadQuery, RemoteFailed, Conflict, BadField, UnknownProfile, MissingExtra, Unavailable.
        """
        began = perf_counter()
        if dry_run and not prune:
            raise BadQuery("a dry run says what pruning would remove: ask for both")
        how = How(
            pick=Pick(tuple(glob), tuple(exclude)),
            sidecars=sidecars,
            columns=columns_of(columns or {}),
            limits=limits_of(self._parts),
            payloads=partial(open_payloads, source_key),
        )
        sources(places, how)  # what is wrong with them is said before a collection is made for them
        try:
            made = self._collection(collection) if dry_run else self._ensure(collection, fields, profile, reads)
        except NoSuchCollection:
            raise NoSuchCollection(f"there is no collection {collection!r}: nothing would be pruned") from None
        named = sources(places, replace(how, fields=made.fields))
        taken, tally, ran, totals = Intake(), Tally(), Ran(), Totals(named)

        def spent() -> dict[str, float]:
            seconds = dict(tally.seconds)
            add(taken.seconds, seconds)
            return seconds

        def fresh() -> int:
            return taken.outcomes[Outcome.ADDED] + taken.outcomes[Outcome.CHANGED]

        def tell(_: object) -> None:
            if on_progress is not None:
                left = 0 if self._hands_on else max(0, fresh() - tally.indexed - tally.failed)
                on_progress(
                    Progress(
                        total=totals.total,
                        registered=taken.seen,
                        to_index=fresh(),
                        indexed=tally.indexed,
                        failed=tally.failed + len(taken.refused),
                        done=taken.seen - left,
                        stages=spent(),
                    )
                )

        def indexed(now: Tally) -> None:
            nonlocal tally
            tally = now
            tell(now)

        def look(ids: Sequence[AssetId]) -> Mapping[AssetId, Asset]:
            index = self._parts.catalogue.serving(made.name)
            there = self._parts.catalogue.standings(index, ids)
            return {one.asset.id: one.asset for one in there if not one.removed}

        def work(submit: Submit | None) -> None:
            nonlocal ran

            into = partial(Registering, self._parts, self._tenant, made, on_progress=tell, fetches=self._fetches)
            registering = into(submit, intake=taken) if submit is not None else None
            ran = go_through(
                named,
                ledger,
                f"{self._tenant}\0{made.name}",
                look,
                take=registering.take if registering is not None else None,
                remove=None if dry_run else partial(remove, self._parts, self._tenant, made.name),
                prune=prune,
                force=force,
                settling=settling,
            )
            if registering is not None:
                registering.finish()
                if not self._hands_on and tally.indexed >= max(LEAST, NEARLY * fresh()):
                    tend_one(self._parts, made.name)  # lanes go on meanwhile: at the end all but one would idle

        with closing(totals), closing(Ledger(self._parts.settings.data / "sources.db")) as ledger:
            if dry_run:
                work(None)
            else:
                self._take(made, work, on_indexed=indexed, everything=True)
        if taken.seconds:
            with suppress(CatalogueDown):  # a figure less
                self._parts.catalogue.spend(made.name, taken.seconds, 0)
        if not (dry_run or self._hands_on):
            tend_one(self._parts, made.name)
        failures = self._parts.catalogue.failures(self._tenant, made.name, limit=100_000)
        return IngestReport(
            added=taken.outcomes[Outcome.ADDED],
            changed=taken.outcomes[Outcome.CHANGED],
            unchanged=taken.outcomes[Outcome.UNCHANGED],
            indexed=tally.indexed,
            enqueued=self._parts.settings.broker_url is not None and fresh() > 0,
            refused=(*taken.refused, *(Problem("", fault.kind, str(fault)) for fault in ran.faults)),
            failures=tuple(one for one in failures if one.asset_id in taken.ids),
            pruned=tuple(ran.pruned),
            dry_run=dry_run,
            unsettled=ran.young,
            seconds=perf_counter() - began,
            stages=spent(),
        )

    def watch(
        self,
        *folders: PathLike,
        collection: str,
        on_report: Callable[[IngestReport], None],
        on_fault: Callable[[Fault], None] | None = None,
        stopping: Event | None = None,
        **how: Any,
    ) -> None:
        """Ingest these folders now, and again whenever something in them has changed and come to rest, until
        `stopping` is set. `how`: as for `ingest`; what is deleted is removed only with `prune`. A folder that vanishes
        is waited for, and what is down is tried again: `on_fault` is told. Raises NoSuchPath, BadQuery and what is
        Misconfigured.
        """
        ingest = partial(self.ingest, collection=collection)
        watching(ingest, folders, on_report, on_fault, stopping or Event(), how)

    @property
    def _hands_on(self) -> bool:
        """Whether others index what is registered here."""
        return self._parts.settings.broker_url is not None or self._woken is not None
