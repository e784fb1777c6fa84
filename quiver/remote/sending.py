"""Ingesting into a server: sources of this machine are read here and sent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import perf_counter
from typing import Any

from core.errors import BadQuery, Fault, NoSuchAsset, Refused
from core.records import Outcome
from core.runtime.wiring import open_payloads
from core.types import Asset, AssetId
from ingest.limits import Limits
from ingest.sources.folder import Found
from ingest.sources.ledger import Ledger
from ingest.sources.manifest import Inline, Item
from ingest.sources.paths import How, PathLike, sources
from ingest.sources.pick import Pick
from ingest.sources.points import columns_of
from ingest.sources.sidecar import with_sidecars
from ingest.sources.stored import Stored
from ingest.sources.totals import Totals
from ingest.sources.upload import Upload
from ingest.sources.url import Remote
from quiver.remote.handing import Handing
from quiver.reports import Added, IngestReport, Progress
from quiver.watching import watching
from workers.intake import Problem
from workers.sourced import Known, Ran, Sourced, go_through

SENDERS = 8  # files that are sent at once
BATCH = 32  # that are noted at a time


class Sending(Handing):
    """Sources into a server's collections."""

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
        ledger: PathLike | None = None,
    ) -> IngestReport:
        """As `Quiver.ingest`: what is read on this machine is sent; the server indexes it (`wait`), and fetches
        addresses itself.

        `ledger`: a file of this machine, where it is kept what was sent: by it nothing is sent again that is as it was,
        and without it nothing can be pruned.
        """
        began = perf_counter()
        if prune and ledger is None:
            raise BadQuery("what vanished is known from a ledger: name a file for it, and the same one each time")
        if dry_run and not prune:
            raise BadQuery("a dry run says what pruning would remove: ask for both")
        made = partial(
            How,
            pick=Pick(tuple(glob), tuple(exclude)),
            sidecars=sidecars,
            columns=columns_of(columns or {}),
            payloads=partial(open_payloads, source_key),
        )
        sources(places, made())  # what is wrong with them is said before a collection is made for them
        if dry_run:
            [there] = self.status(collection)
        else:
            there = self.create(collection, fields=fields, profile=profile, reads=reads)
        named = sources(places, made(fields=there.fields))
        sent = _Sent(on_progress, Totals(named))
        with ExitStack() as open_parts:
            open_parts.enter_context(closing(sent.totals))
            kept = Path(ledger) if ledger is not None else Path(open_parts.enter_context(TemporaryDirectory())) / "kept"
            book = open_parts.enter_context(closing(Ledger(kept)))
            pool = open_parts.enter_context(ThreadPoolExecutor(SENDERS))
            ran = go_through(
                named,
                book,
                f"{self._wire.url}\0{collection}",
                partial(self._look, pool, collection),
                take=None if dry_run else partial(self._take, pool, collection, sent, ledger is not None),
                remove=None if dry_run else partial(self._remove, collection),
                prune=prune,
                force=force,
                settling=settling,
            )
        return sent.report(ran, dry_run, perf_counter() - began)

    def watch(
        self,
        *folders: PathLike,
        collection: str,
        on_report: Callable[[IngestReport], None],
        on_fault: Callable[[Fault], None] | None = None,
        stopping: Event | None = None,
        **how: Any,
    ) -> None:
        """As `Quiver.watch`."""
        ingest = partial(self.ingest, collection=collection)
        watching(ingest, folders, on_report, on_fault, stopping or Event(), how)

    def _take(
        self,
        pool: ThreadPoolExecutor,
        collection: str,
        sent: _Sent,
        keeping: bool,
        items: Iterator[Item | Refused],
        sourced: Sourced,
    ) -> None:
        """Send what is not known to be there, in order, some at once."""
        fresh: list[tuple[str, AssetId, None]] = []
        for done in _ahead(pool, partial(self._send, collection), sourced.chosen(items)):
            sent.count(done)
            if keeping and isinstance(done, Added):
                fresh.append((done.external_id, done.id, None))
                if len(fresh) >= BATCH:
                    sourced.keep(fresh)
                    fresh.clear()
        sourced.keep(fresh)

    def _send(self, collection: str, item: Item | Refused | Known) -> Added | Problem | Known:
        if isinstance(item, Known):
            return item
        try:
            return self._item(collection, item)
        except Refused as fault:
            name = "" if isinstance(item, Refused) else item.external_id
            return Problem(name, fault.kind, str(fault))

    def _item(self, collection: str, item: Item | Refused) -> Added:
        add = partial(self.add, collection)
        match item:
            case Refused():
                raise item
            case Found():
                said = with_sidecars(item.metadata, item.sidecars, Limits())
                return add(file=item.path, id=item.external_id, metadata=said, name=item.path.name)
            case Stored():
                said = with_sidecars(item.metadata, item.sidecars, Limits())
                with item.open() as source:
                    return add(file=source, id=item.external_id, metadata=said, name=item.name)
            case Inline():
                return add(text=item.text, id=item.external_id, metadata=item.metadata)
            case Remote():
                return add(url=item.url, id=item.external_id, metadata=item.metadata)
            case Upload():
                return add(file=item.source, id=item.external_id, metadata=item.metadata, name=item.name)

    def _look(self, pool: ThreadPoolExecutor, collection: str, ids: Sequence[AssetId]) -> Mapping[AssetId, Asset]:
        def one(asset: AssetId) -> Asset | None:
            try:
                return self.show(collection, asset).asset
            except NoSuchAsset:
                return None

        return {asset.id: asset for asset in pool.map(one, ids) if asset is not None}

    def _remove(self, collection: str, ids: Sequence[AssetId]) -> None:
        self.remove(collection, *ids)


class _Sent:
    """What was sent so far."""

    def __init__(self, on_progress: Callable[[Progress], None] | None, totals: Totals) -> None:
        self._on_progress, self.totals = on_progress, totals
        self.outcomes: Counter[Outcome] = Counter()
        self.refused: list[Problem] = []

    def count(self, done: Added | Problem | Known) -> None:
        """One item more."""
        match done:
            case Problem():
                self.refused.append(done)
            case Known():
                self.outcomes[Outcome.UNCHANGED] += 1
            case Added():
                self.outcomes[done.outcome] += 1
        if self._on_progress is not None:
            seen = self.outcomes.total() + len(self.refused)
            self._on_progress(
                Progress(
                    total=self.totals.total,
                    registered=seen,
                    to_index=self.outcomes[Outcome.ADDED] + self.outcomes[Outcome.CHANGED],
                    indexed=0,
                    failed=len(self.refused),
                    done=seen,
                )
            )

    def report(self, ran: Ran, dry_run: bool, seconds: float) -> IngestReport:
        """All of it."""
        added, changed = self.outcomes[Outcome.ADDED], self.outcomes[Outcome.CHANGED]
        return IngestReport(
            added=added,
            changed=changed,
            unchanged=self.outcomes[Outcome.UNCHANGED],
            indexed=0,
            enqueued=added + changed > 0,
            refused=(*self.refused, *(Problem("", fault.kind, str(fault)) for fault in ran.faults)),
            failures=(),
            pruned=tuple(ran.pruned),
            dry_run=dry_run,
            unsettled=ran.young,
            seconds=seconds,
        )


_T = Item | Refused | Known


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[_T], Added | Problem | Known], given: Iterable[_T]
) -> Iterator[Added | Problem | Known]:
    """Results in order, only so many begun ahead of the one that is looked at."""
    begun: deque[Future[Added | Problem | Known]] = deque()
    for item in given:
        begun.append(pool.submit(work, item))
        if len(begun) >= 4 * SENDERS:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
