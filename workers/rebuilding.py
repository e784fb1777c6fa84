"""The build of an index: what it lacks, a batch at a time, behind live work, until it lacks nothing.

Any number of processes may be at it: claims keep them apart. One that dies leaves its leases behind, and what it may
have written is written again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from time import monotonic

from core.errors import CatalogueDown, Conflict, Fault, Misconfigured, NoSuchCollection
from core.indexes import Coverage, Tended
from core.records import Claim, Collection, Index, IndexState
from core.runtime.settings import lane_count
from core.runtime.wiring import Parts
from core.types import AssetId
from workers.copying import Change, Copying, change_of
from workers.embedding import Work
from workers.identity import bury, me
from workers.indexing import by_bytes, index_batch, renewing, sign_all
from workers.pace import turn
from workers.patience import void
from workers.reindex import WRITTEN, coming, pause
from workers.tally import Tally
from workers.writing import BACKOFF

log = logging.getLogger(__name__)
SLICE = 10.0  # seconds of a build at a time, where other work is done by the same process
WINDOW = 5_000  # assets looked up at once: what is built already is passed over each time
LOOK = 0.2  # seconds between looks at what others hold, or at what is to be tried again
EVERY = 0.5  # seconds between two reports of progress
ENOUGH = 20  # assets after which too many failures stop the build
TOO_MANY = 0.5  # of those that were tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a build stands, in assets. `rate`: a second, of this run."""

    total: int
    done: int
    failed: int
    rate: float
    seconds_left: float | None
    state: IndexState
    paused: bool = False

    @property
    def built(self) -> bool:
        """Nothing is left to be done."""
        return self.state is not IndexState.BUILDING


def run(
    parts: Parts,
    name: str,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stopping: Event | None = None,
    seconds: float | None = None,
    lanes: int | None = None,
    yields: Callable[[], bool] = lambda: False,
) -> Progress:
    """Build until nothing is lacking, and the index may be verified; or until told to stop, `seconds` are over, it is
    paused, or live work waits elsewhere (`yields`). What live work there is here is done first.

    Raises Conflict when it is given up meanwhile, Unavailable when a part is down: run it again, it goes on.
    """
    bury(parts)
    return _Run(parts, name, on_progress, stopping or Event(), seconds, lanes, yields).run()


def being_built(parts: Parts) -> list[str]:
    """The collections that have an index to be built, and not paused."""
    return [
        collection.name
        for collection in parts.catalogue.collections()
        for made in parts.catalogue.tended(collection.name, [IndexState.BUILDING])
        if not made.plan.get("paused")
    ]


def build_a_while(
    parts: Parts,
    name: str,
    *,
    stopping: Event,
    lanes: int | None = None,
    yields: Callable[[], bool] = lambda: False,
) -> bool:
    """Build for a few seconds, in the background; whether something is left to be built. Raises Unavailable.

    A model that is not there, or not the same any more, pauses the build: who runs this has other work, too.
    """
    try:
        said = run(parts, name, stopping=stopping, seconds=SLICE, lanes=lanes, yields=yields)
    except Conflict as over:  # somebody gave it up, or switched
        log.info("the build of %s ends: %s", name, over)
        return False
    except Misconfigured as fault:
        log.warning("the build of %s is paused: %s", name, fault)
        with suppress(Conflict):  # it was given up
            pause(parts, name, why=f"{fault.kind}: {fault}")
        return False
    return not said.built and not said.paused


class _Run:
    def __init__(
        self,
        parts: Parts,
        name: str,
        on_progress: Callable[[Progress], None] | None,
        stopping: Event,
        seconds: float | None,
        lanes: int | None,
        yields: Callable[[], bool],
    ) -> None:
        self._parts, self._name, self._tell, self._stopping = parts, name, on_progress, stopping
        self._until = None if seconds is None else monotonic() + seconds
        self._lanes = lanes or lane_count(parts.settings)
        self._yields = yields
        self._waiting: set[Future[None]] = set()
        self._began = monotonic()
        self._told = -EVERY
        self._progress: Progress | None = None
        self._first: int | None = None
        self.tally = Tally()

    def run(self) -> Progress:
        made = coming(self._parts, self._name)
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="reindex") as pool:
            try:
                while not self._over() and (ids := self._wanted(made)):
                    while ids and (given := self._turn(len(ids))):
                        made, count = given
                        self._live(pool)
                        self._submit(pool, ids[:count])
                        ids = ids[count:]
                        self._report(made)
                    self._settle(0)
                    made = coming(self._parts, self._name)
                    if made.plan.get("paused") or self._too_many(made):
                        break
                else:
                    if not self._over():
                        made = self._built(made)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return self._report(coming(self._parts, self._name), last=True)

    def _over(self) -> bool:
        late = self._until is not None and monotonic() >= self._until
        return late or self._stopping.is_set() or self._yields()

    def _wanted(self, made: Tended) -> list[AssetId]:
        """What can be built now; waits for what others hold, and for what is to be tried again."""
        index = made.index
        while not self._over():
            if made.plan.get("paused"):
                return []
            if ids := self._parts.catalogue.missing(self._name, limit=WINDOW, index=index.id):
                return ids
            if self._live_here():
                continue
            said = self._report(made)
            coverage = self._parts.catalogue.coverage(index)
            if not coverage.in_hand and not coverage.retrying:
                return []
            bury(self._parts)
            self._stopping.wait(LOOK)
            made = coming(self._parts, self._name)
            if said.paused:
                return []
        return []

    def _live_here(self) -> bool:
        ids = self._parts.catalogue.missing(self._name, limit=self._parts.settings.batch)
        return bool(ids) and index_batch(self._parts, self._name, ids).indexed > 0

    def _live(self, pool: ThreadPoolExecutor) -> None:
        """Live work goes before: whoever waits to be found is indexed by this run, if nobody else is at it."""
        ids = self._parts.catalogue.missing(self._name, limit=self._parts.settings.batch)
        if ids:
            self._add(pool.submit(lambda: void(index_batch(self._parts, self._name, ids))))

    def _submit(self, pool: ThreadPoolExecutor, ids: Sequence[AssetId]) -> None:
        self._settle(2 * self._lanes - 1)
        self._add(pool.submit(self._step, ids))

    def _add(self, future: Future[None]) -> None:
        self._waiting.add(future)

    def _step(self, ids: Sequence[AssetId]) -> None:
        step(self._parts, self._name, ids)

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _turn(self, left: int) -> tuple[Tended, int] | None:
        """Wait for the turn to hand out more: of how many assets. None when it is over, or paused. What is said of the
        build meanwhile is heard, and live work does not wait."""
        while not self._over():
            made = coming(self._parts, self._name)
            if made.plan.get("paused"):
                return None
            count, ahead = turn(self._parts, made, min(left, self._parts.settings.batch))
            if count:
                return made, count
            if not self._live_here():
                self._stopping.wait(min(LOOK, ahead))
        return None

    def _too_many(self, made: Tended) -> bool:
        """A model that fails most of what it is given will fail the rest: a person is to look."""
        said = self._parts.catalogue.coverage(made.index)
        if said.failed < ENOUGH or said.failed <= TOO_MANY * (said.failed + said.held):
            return False
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(said.failures.items()))
        pause(self._parts, self._name, why=f"{said.failed} of {said.failed + said.held} assets failed: {kinds}")
        return True

    def _built(self, made: Tended) -> Tended:
        if made.index.state is IndexState.BUILDING and not made.plan.get("paused"):
            self._parts.store.flush(made.index)
            with suppress(Conflict):  # another run came first
                return self._parts.catalogue.advance(made.index.id, of=[IndexState.BUILDING], to=IndexState.VERIFYING)
        return made

    def _report(self, made: Tended, *, last: bool = False) -> Progress:
        now = monotonic()
        if self._progress is not None and not last and now - self._told < EVERY:
            return self._progress
        self._progress = progress = self._as_progress(made, self._parts.catalogue.coverage(made.index))
        self._told = monotonic()
        if self._tell is not None:
            self._tell(progress)
        return progress

    def _as_progress(self, made: Tended, said: Coverage) -> Progress:
        done = said.held
        if self._first is None:
            self._first = done
        elapsed = monotonic() - self._began
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        left = max(0, said.present - said.held - said.failed)
        return Progress(
            total=said.present,
            done=done,
            failed=said.failed,
            rate=rate,
            seconds_left=left / rate if rate else None,
            state=made.index.state,
            paused=bool(made.plan.get("paused")),
        )


def step(parts: Parts, name: str, ids: Sequence[AssetId]) -> Tally:
    """Build those of these assets that the coming index lacks and that nobody holds. One's failure is its own.

    Raises Conflict when the index is given up meanwhile, Unavailable when a part is down: the assets are handed back.
    """
    made = coming(parts, name)
    if made.index.state not in WRITTEN:
        raise Conflict(f"index {made.index.id!r} is {made.index.state}: start it first")
    return _step(parts, parts.catalogue.collection(name), made.index, ids)


def _step(parts: Parts, collection: Collection, index: Index, ids: Sequence[AssetId]) -> Tally:
    tally = Tally()
    old = parts.catalogue.serving(collection.name)
    change = change_of(parts, old, index)
    with tally.timed("commit"):
        claims = parts.catalogue.claim(
            collection.name, worker=me(), lease=parts.settings.lease, limit=len(ids), ids=ids, index=index.id
        )
    suspects = [claim for claim in claims if claim.attempt > 1] if len(claims) > 1 else []
    if suspects:  # each is tried alone, so that it takes no other with it
        parts.catalogue.release(suspects)
        claims = [claim for claim in claims if claim not in suspects]
    try:
        for some in _batches(parts, change, index, claims):
            _build(parts, collection, old, index, change, some, tally)
    except NoSuchCollection as gone:
        parts.catalogue.release(claims)
        coming(parts, collection.name)  # it was given up: Conflict
        raise Conflict(f"the store has lost index {index.id!r}: abort it and start again") from gone
    except BaseException:
        with suppress(CatalogueDown):  # then the leases run out by themselves
            parts.catalogue.release(claims)
        raise
    for suspect in suspects:
        tally += _step(parts, collection, index, [suspect.asset.id])
    return tally


def _batches(parts: Parts, change: Change, index: Index, claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    """Together as far as their files may be held together; those that are not read are all together."""
    copied = [claim for claim in claims if not change.of(claim.asset.modality, index.reads)]
    if copied:
        yield copied
    yield from by_bytes([claim for claim in claims if claim not in copied], parts.settings.batch_bytes)


def _build(
    parts: Parts,
    collection: Collection,
    old: Index,
    index: Index,
    change: Change,
    claims: Sequence[Claim],
    tally: Tally,
) -> None:
    def failed(claim: Claim, fault: Fault) -> None:
        tally.failed += 1
        retry = fault.retryable and claim.attempt < parts.settings.max_attempts
        parts.catalogue.fail(
            claim,
            kind=fault.kind,
            message=str(fault),
            retry_in=BACKOFF * claim.attempt if retry else None,
            index=index,
        )

    beat = renewing(parts, claims)
    work = Work(parts=parts, collection=collection, index=index, tally=tally, failed=failed, beat=beat)
    counts = Copying(work=work, old=old, change=change).write(claims)
    tally.indexed += sign_all(parts, [(index, counts)], tally)
    parts.catalogue.finish(claims)
