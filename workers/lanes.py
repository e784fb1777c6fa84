"""Lanes: threads that index batches side by side, so that decoding, encoding and writing of neighbours overlap.

One lane a core with one torch thread each beats one lane of as many torch threads, and no lane waits for another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from core.runtime.settings import lane_count
from core.runtime.wiring import Parts
from core.types import AssetId
from workers.indexing import index_batch
from workers.stalls import MODEL, Stalls
from workers.tally import Tally
from workers.upkeep import sweep

AHEAD = 2  # batches waiting a lane: enough never to starve, few enough to stop soon
LEAST = 8  # assets of the last batches


class Lanes:
    """Indexes what is submitted. Leaving the block waits for all of it, unless it is left by an exception.

    A model that is wrong is raised only where it is that of `collection`, the one this is all about; the others are
    left out, and kept in `stalls`.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        collection: str | None = None,
        on_progress: Callable[[Tally], None] | None = None,
        stalls: Stalls | None = None,
    ) -> None:
        self._parts = parts
        self._count = lane_count(parts.settings)
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="lane")
        self._waiting: dict[Future[None], tuple[str, Sequence[AssetId]]] = {}
        self._lock = threading.Lock()
        self._collection = collection
        self._on_progress = on_progress
        self._stalls = stalls or Stalls()
        self.tally = Tally()

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if exc is None:
                self._finish()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, collection: str, ids: Sequence[AssetId]) -> None:
        """Queue a batch; waits while enough are queued. Raises what an earlier batch raised."""
        self._settle(self._count * (1 + AHEAD) - 1)
        if collection not in self._stalls.now():
            self._queue(collection, list(ids))

    def sweep(self) -> int:
        """Queue what is outstanding; how many assets."""
        return sweep(self._parts, self.submit, without=self._stalls.now())

    def drain(self) -> None:
        """Index all that is outstanding, until nothing is left that can be done now."""
        self._finish()
        while self.sweep():
            self._finish()

    def _queue(self, collection: str, ids: Sequence[AssetId]) -> None:
        self._waiting[self._pool.submit(self._run, collection, ids)] = collection, ids

    def _finish(self) -> None:
        """Wait for all. What no lane has begun is cut anew, smaller and smaller, so that lanes end together and none
        idles while another has a full batch (guided self-scheduling, doi:10.1109/TC.1987.5009495)."""
        left: dict[str, list[AssetId]] = {}
        for future, (collection, ids) in list(self._waiting.items()):
            if future.cancel():
                del self._waiting[future]
                left.setdefault(collection, []).extend(ids)
        for collection, ids in left.items():
            while ids:
                size = min(self._parts.settings.batch, max(LEAST, len(ids) // (2 * self._count)))
                self._queue(collection, ids[:size])
                ids = ids[size:]
        self._settle(0)

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
            for future in done:
                del self._waiting[future]
                future.result()

    def _run(self, collection: str, ids: Sequence[AssetId]) -> None:
        try:
            done = index_batch(self._parts, collection, ids)
        except MODEL as fault:
            if collection == self._collection:
                raise
            self._stalls.note(collection, fault)
            return
        with self._lock:
            self.tally += done
            if self._on_progress is not None:
                self._on_progress(self.tally)
