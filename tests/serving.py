"""A store process that is a thread, with the same socket, frames and calls; and what to ask it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from uuid import UUID

from core.points import Nearest, Scope
from core.records import Index, IndexState
from core.spaces import Metric
from core.stores.process import ProcessStore
from core.stores.serve import Server
from core.types import Tenant
from tests.strategies import FIELDS, make_asset, make_points, make_space, unit

WORDS = make_space()
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(WORDS, TERMS), fields=FIELDS)
T = Scope(tenant=Tenant("t"))


def put(store: ProcessStore, *numbers: int) -> None:
    vectors = [unit(1, n % 7, n % 3, 0) for n in numbers]
    store.upsert(INDEX, make_points([make_asset(number=n) for n in numbers], {WORDS: vectors}))


def numbers(store: ProcessStore) -> list[int]:
    return sorted(UUID(point.payload["asset"]).int for point in store.scroll(INDEX, limit=100_000))


def search(store: ProcessStore) -> list[int]:
    query = Nearest(space=WORDS, vector=unit(1, 0, 0, 0), scope=T, limit=5, exact=True)
    return [UUID(hit.payload["asset"]).int for hit in store.search(INDEX, [query])[0]]


def until(held: Callable[[], bool], seconds: float = 30) -> None:
    limit = monotonic() + seconds
    while not held():
        assert monotonic() < limit, "it did not come to pass"
        sleep(0.02)


class ServedStore(ProcessStore):
    """A client with a server of its own, which ends when it is closed."""

    def __init__(self, root: Path, *, optimize_after: int = 0) -> None:
        self.server = Server(root, optimize_after=optimize_after)
        self.thread = Thread(target=self.server.run)
        self.thread.start()
        super().__init__(self.server.path)

    def close(self) -> None:
        """Close the client, then end the server."""
        super().close()
        if self.thread.is_alive():
            self.server.stop()
        self.thread.join()
