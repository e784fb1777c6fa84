"""Optimizes the indexes of a store process as they grow: in the background, one at a time."""

from __future__ import annotations

import logging
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from core.errors import Fault, NoSuchCollection
from core.records import Index
from core.stores.edge import EdgeStore

log = logging.getLogger(__name__)


class Upkeep:
    """Counts the points that no search graph covers, and has one built when an index has `after` of them; 0: never.

    A search compares with every such point, about 0.15 ms a thousand. What failed is tried again after `retry` seconds.
    """

    def __init__(self, store: EdgeStore, after: int, *, retry: float = 60.0) -> None:
        self._store = store
        self._after = after
        self._retry = retry
        self._said: SimpleQueue[tuple[Index, int] | None] = SimpleQueue()
        self._known: set[str] = set()
        self._grown: dict[str, tuple[Index, int]] = {}
        if after:
            Thread(target=self._run, name="upkeep", daemon=True).start()

    def note(self, index: Index, points: int) -> None:
        """An index was used, and so many points were written. Never waits."""
        if self._after and (points or index.id not in self._known):
            self._known.add(index.id)
            self._said.put((index, points))

    def stop(self) -> None:
        """Begin nothing more. A child that is at work dies with this process, and its copy is swept."""
        self._said.put(None)

    def _run(self) -> None:
        again = 0.0  # when what failed is tried again
        while True:
            try:
                said = self._said.get(timeout=max(0.0, again - monotonic()) if again else None)
            except Empty:
                pass
            else:
                if said is None:
                    return
                self._count(*said)
            if monotonic() >= again:
                failed = [index for index, grown in list(self._grown.values()) if not self._optimize(index, grown)]
                again = monotonic() + self._retry if failed else 0.0

    def _count(self, index: Index, points: int) -> None:
        """At its first use the store itself is asked: others wrote into it before us."""
        try:
            before = self._grown[index.id][1] + points if index.id in self._grown else self._store.unindexed(index)
        except Fault as fault:
            log.warning("index %s cannot be counted: %s", index.id, fault)
            self._known.discard(index.id)
        else:
            self._grown[index.id] = (index, before)

    def _optimize(self, index: Index, grown: int) -> bool:
        """Whether there is nothing to try again."""
        if grown < self._after:
            return True
        began = monotonic()
        try:
            self._store.optimize(index)
        except NoSuchCollection:
            del self._grown[index.id]
            self._known.discard(index.id)
            return True
        except Fault as fault:
            log.warning("index %s was not optimized, in %.0f s it is tried again: %s", index.id, self._retry, fault)
            return False
        self._grown[index.id] = (index, 0)
        log.info("index %s of %d new points was optimized in %.1f s", index.id, grown, monotonic() - began)
        return True
