"""One open shard of Qdrant Edge: the calls of the VectorStore port about one index, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from uuid import UUID

import qdrant_edge as e

from core.errors import Fault, IndexDrifted, StoreDown
from core.filters import Filter
from core.points import Found, Nearest, Points, Scope, Stored, check_points
from core.records import Index, Storage
from core.stores import edge_folder as folder
from core.stores.edge_log import Log
from core.stores.edge_types import found, request, stored, to_filter, translated, upserts
from core.stores.guards import best_first, check_held, check_query, grouped, in_order
from core.stores.translate import of_assets, scoped
from core.types import AssetId

log = logging.getLogger(__name__)
T = TypeVar("T")


class Shard:
    """The points of one index. Each call is the port's; `StoreDown` when the shard was closed.

    One at a time: the engine holds the interpreter anyhow. `over` once it is closed or has panicked: open it afresh.
    """

    def __init__(self, path: Path, made: Mapping[str, Any]) -> None:
        """Open a folder that holds an index made so. `lost` says whether logged writes were. See `folder.load`."""
        with translated():
            self._shard, self.lost = folder.load(path)
            self._log = Log(path)
        self.made = made
        self._storage = Storage.from_dict(made.get("storage", {}))
        self.over = False
        self._lock = RLock()

    def upsert(self, index: Index, points: Points) -> None:
        """See the port. A vector of an unknown space would leave a phantom behind when the log is replayed."""
        check_points(points, index.spaces)
        check_held(self.made, index, points.columns)
        with translated():
            operations = list(upserts(points))
        for operation in operations:
            self._update(operation)

    def flush(self, _index: Index) -> None:
        """See the port: only this reaches the disk, a write does not.

        By the write-ahead log alone, without the interpreter: the engine's own flush holds it for as long as the disk
        takes, a quarter of a second while others write (docs/decisions/0015-durable-by-the-log.md).
        """
        with translated():
            long = self._log.sync()
            if long:
                self._log.sync_all()  # without the interpreter, so that little is left to write while it is held
        if long:
            self._use(lambda shard: shard.flush())

    def forget(self, _index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        for below, mine in grouped(assets).items():
            gone = to_filter(of_assets(mine, below=below))
            self._update(e.UpdateOperation.delete_points_by_filter(gone))

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port."""
        asked = [at for at, query in enumerate(queries) if check_query(index, query)]
        with translated():
            batch = e.QueryBatchRequest([request(queries[at], self._storage) for at in asked])
        answers = self._use(lambda shard: shard.query_batch(batch) if asked else [])
        out: list[list[Found]] = [[] for _ in queries]
        for at, answer in zip(asked, answers, strict=True):
            out[at] = best_first([found(point) for point in answer])
        return out

    def count(self, _index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        """See the port."""
        with translated():
            wanted = e.CountRequest(exact=exact, filter=to_filter(scoped(scope, where)))
        return self._use(lambda shard: shard.count(wanted))

    def of_assets(self, _index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """See the port."""
        mine = to_filter(of_assets(assets))
        out: list[Stored] = []
        at: UUID | int | str | None = None
        while True:
            records, at = self._page(
                e.ScrollRequest(offset=at, limit=1000, filter=mine, with_payload=True, with_vector=True)
            )
            out += [stored(record) for record in records]
            if at is None:
                return sorted(out, key=in_order)

    def scroll(self, _index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        if limit < 1 or (after is not None and after.int == 2**128 - 1):
            return []
        start = None if after is None else UUID(int=after.int + 1)  # the engine's offset is inclusive
        records, _ = self._page(e.ScrollRequest(offset=start, limit=limit, with_payload=True, with_vector=False))
        return [stored(record) for record in records]

    def unindexed(self, index: Index) -> int:
        """How many points no search graph covers; too many when points lack vectors of some spaces."""
        dense = sum(not space.sparse for space in index.spaces)
        info = self._use(lambda shard: shard.info())
        return max(0, info.points_count - info.indexed_vectors_count // max(dense, 1))

    def close(self, *, keep: bool = True) -> None:
        """Whatever state it is in. What runs is finished first; what is not to be kept is not flushed."""
        with self._lock:
            keep, self.over = keep and not self.over, True
            try:
                with translated():
                    if keep:
                        self._shard.flush()
                    self._shard.close()
            except Fault as fault:
                log.warning("a shard did not close: %s", fault)

    def _update(self, operation: e.UpdateOperation) -> None:
        self._use(lambda shard: shard.update(operation))

    def _page(self, page: e.ScrollRequest) -> tuple[list[e.Record], UUID | int | str | None]:
        return self._use(lambda shard: shard.scroll(page))

    def _use(self, work: Callable[[e.EdgeShard], T]) -> T:
        with self._lock:
            if self.over:
                raise StoreDown("the shard was closed: try again")
            try:
                with translated():
                    return work(self._shard)
            except IndexDrifted:  # it panicked
                self.close(keep=False)
                raise
