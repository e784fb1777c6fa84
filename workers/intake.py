"""Items to registered assets: drafts by the batch, one transaction each, handed on after the commit."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from core.errors import BadMetadata, Overloaded, Refused, TooLarge
from core.records import Collection, Draft, Outcome
from core.runtime import metrics
from core.runtime.wiring import Parts
from core.timing import add, measured
from core.types import AssetId, Modality, Tenant
from ingest.register import draft
from ingest.sources.manifest import Item
from ingest.sources.stored import Stored
from ingest.sources.upload import Upload
from ingest.sources.url import Remote
from workers.collections import SHOWN_OR_HEARD, no_space
from workers.decoding import limits_of
from workers.fetching import fetcher_of
from workers.sourced import Known, Registered, Sourced

LONGEST_ID = 1023  # characters, as the catalogue's column
FETCHERS = 8  # things that are fetched at once


@dataclass(frozen=True, slots=True)
class Problem:
    """An item that was not registered, and why."""

    name: str  # external id; empty for a line of a manifest that names none
    kind: str
    message: str


@dataclass(slots=True)
class Intake:
    """What registering did."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refused: list[Problem] = field(default_factory=list)
    faults: list[Refused] = field(default_factory=list)  # of those refused, in the same order
    ids: set[AssetId] = field(default_factory=set)  # of all that was registered, changed or not
    last: list[tuple[str, AssetId, Outcome]] = field(default_factory=list)  # the batch just registered: external id
    seconds: dict[str, float] = field(default_factory=dict)  # by stage, of all threads together

    @property
    def seen(self) -> int:
        """How many items were looked at."""
        return self.outcomes.total() + len(self.refused)


def admit(parts: Parts, collection: str) -> None:
    """Raises Overloaded, with the time after which to come again, when the oldest asset has waited too long."""
    most = parts.settings.max_waiting_seconds
    if not most:
        return
    oldest = parts.catalogue.oldest_waiting(collection).total_seconds()
    if oldest > most:
        fault = Overloaded(f"an asset of {collection!r} has waited {oldest:.0f} s, over {most:.0f}: come again later")
        fault.retry_after = oldest - most
        raise fault


class Drafts:
    """Makes drafts of what comes into one collection.

    `fetches`: whether items may name addresses to be fetched; without it they are Forbidden. Raises Misconfigured when
    what may be fetched cannot be read from the settings.
    """

    def __init__(self, parts: Parts, collection: Collection, *, fetches: bool) -> None:
        spaces = parts.catalogue.serving(collection.name).spaces
        self._taken = frozenset(modality for space in spaces for modality in space.modalities)
        if not self._taken.isdisjoint(SHOWN_OR_HEARD):
            self._taken |= {Modality.VIDEO}
        self._blobs = parts.blobs
        self._no_space = partial(no_space, parts, collection)
        self._draft = partial(
            draft,
            blobs=parts.blobs,
            fields=collection.fields,
            limits=limits_of(parts),
            fetcher=fetcher_of(parts) if fetches else None,
        )
        self._seconds: dict[str, float] = {}
        self._lock = Lock()  # of the above, to which threads that fetch add

    def of(self, item: Item) -> Draft:
        """Its draft, the bytes durable. Raises Refused."""
        spent: dict[str, float] = {}
        try:
            with measured("fetch", spent):
                made = self._draft(item)
        finally:
            metrics.spent(spent)
            with self._lock:
                add(spent, self._seconds)
        if len(made.external_id) > LONGEST_ID:
            raise TooLarge(f"{made.external_id[:60]}...: an external id has at most {LONGEST_ID} characters")
        if "\0" in made.external_id:
            raise BadMetadata("an external id holds a NUL character: take it out")
        if made.modality not in self._taken:
            raise self._no_space(made.external_id, made.modality)
        return made

    def spent(self) -> dict[str, float]:
        """Seconds by stage since this was last asked, of all threads together."""
        with self._lock:
            spent, self._seconds = self._seconds, {}
        return spent

    def restore(self, registered: Sequence[tuple[Item, Draft]]) -> list[tuple[Draft, Refused]]:
        """Store the bytes again of those whose last asset was purged between our write and our row. Those of which
        that cannot be done: an address, say, that gave its file only once."""
        lost = []
        for item, made in registered:
            if not self._blobs.has(made.digest):
                try:
                    self._draft(item)
                except Refused as fault:
                    lost.append((made, fault))
        return lost


class Registering:
    """Registers items of one source after another, a full batch at a time, and hands on what is new or changed."""

    def __init__(
        self,
        parts: Parts,
        tenant: Tenant,
        collection: Collection,
        submit: Callable[[str, Sequence[AssetId]], None],
        *,
        on_progress: Callable[[Intake], None] | None = None,
        fetches: bool = False,
        intake: Intake | None = None,
    ) -> None:
        """`fetches`: whether items may name addresses to be fetched; without it they are Forbidden. `intake` is gone on
        with. Raises Overloaded when assets wait longer than the settings allow, Misconfigured when what may be fetched
        cannot be read from them.
        """
        admit(parts, collection.name)
        self.intake = intake if intake is not None else Intake()
        self._parts, self._tenant, self._collection = parts, tenant, collection.name
        self._submit, self._on_progress = submit, on_progress
        self._drafts = Drafts(parts, collection, fetches=fetches)
        self._pending: list[tuple[Item, Draft, Sourced | None]] = []

    def take(self, items: Iterable[Item | Refused], sourced: Sourced | None = None) -> None:
        """Every item that can be; a refused one does not stop the others. `sourced`: what their source gave before,
        which is then not read again."""
        settings, intake = self._parts.settings, self.intake
        for item, made in _drafted(items if sourced is None else sourced.chosen(items), self._drafts.of):
            if isinstance(item, Known):
                intake.outcomes[Outcome.UNCHANGED] += 1
                intake.ids.add(item.asset)
                if intake.seen % settings.batch == 0:
                    self._tell()
            elif isinstance(made, Refused):
                name = "" if isinstance(item, Refused) else item.external_id
                intake.refused.append(Problem(name, made.kind, str(made)))
                intake.faults.append(made)
            elif made is not None and not isinstance(item, Refused):
                self._pending.append((item, made, sourced))
                held = sum(one.size for its, one, _ in self._pending if isinstance(its, Upload))
                if len(self._pending) >= settings.batch or held >= settings.batch_bytes:
                    self._commit()

    def finish(self) -> Intake:
        """Register what is left of a batch."""
        self._commit()
        self.intake.last = []
        self._tell()
        return self.intake

    def _commit(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        intake, parts = self.intake, self._parts
        done = parts.catalogue.register(self._tenant, self._collection, [made for _, made, _ in pending])
        for made, fault in self._drafts.restore([(item, made) for item, made, _ in pending]):
            intake.refused.append(Problem(made.external_id, fault.kind, str(fault)))
            intake.faults.append(fault)
        intake.outcomes.update(outcome for _, outcome in done)
        intake.ids.update(asset_id for asset_id, _ in done)
        intake.last = [(made.external_id, *one) for (_, made, _), one in zip(pending, done, strict=True)]
        of_source: dict[Sourced, list[Registered]] = {}
        for (_, made, sourced), (asset, _) in zip(pending, done, strict=True):
            if sourced is not None:
                of_source.setdefault(sourced, []).append((made.external_id, asset, made.digest))
        if of_source:  # looked up at once: a thousand files that are named are a thousand sources
            there = next(iter(of_source)).look([asset for given in of_source.values() for _, asset, _ in given])
            for sourced, given in of_source.items():
                sourced.keep(given, there)
        if ids := [asset_id for asset_id, outcome in done if outcome is not Outcome.UNCHANGED]:
            self._submit(self._collection, ids)
        self._tell()

    def _tell(self) -> None:
        add(self._drafts.spent(), self.intake.seconds)
        if self._on_progress is not None:
            self._on_progress(self.intake)


def register(
    parts: Parts,
    tenant: Tenant,
    collection: Collection,
    items: Iterable[Item | Refused],
    submit: Callable[[str, Sequence[AssetId]], None],
    *,
    on_progress: Callable[[Intake], None] | None = None,
    fetches: bool = False,
    intake: Intake | None = None,
) -> Intake:
    """Register items of one place, as `Registering` does."""
    one = Registering(parts, tenant, collection, submit, on_progress=on_progress, fetches=fetches, intake=intake)
    one.take(items)
    return one.finish()


def _drafted(
    items: Iterable[Item | Refused | Known], draft_of: Callable[[Item], Draft]
) -> Iterator[tuple[Item | Refused | Known, Draft | Refused | None]]:
    """Items in order, each with its draft or why there is none; of what must be fetched, some at a time."""
    waiting: deque[tuple[Item, Future[Draft]]] = deque()

    def made(item: Item, give: Callable[[], Draft]) -> tuple[Item, Draft] | tuple[Item, Refused]:
        try:
            return item, give()
        except Refused as fault:
            return item, fault

    pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")  # its threads begin with the first of its work
    try:
        for item in items:
            slow = isinstance(item, (Remote, Stored))
            if isinstance(item, (Remote, Stored)):
                waiting.append((item, pool.submit(copy_context().run, draft_of, item)))
            while waiting and (not slow or len(waiting) >= 2 * FETCHERS):
                fetched, future = waiting.popleft()
                yield made(fetched, future.result)
            if isinstance(item, Known):
                yield item, None
            elif isinstance(item, Refused):
                yield item, item
            elif not slow:
                yield made(item, partial(draft_of, item))
        while waiting:
            fetched, future = waiting.popleft()
            yield made(fetched, future.result)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
