"""Qdrant Edge, the embedded store: one shard folder an index, held by one process.

The engine is fast and unforgiving; every guard here answers something it was measured to do
(docs/decisions/0003-edge-guards.md), and tests/contract/test_edge_facts.py tells when an upgrade changes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from uuid import UUID

import qdrant_edge as e

from core.errors import Conflict, Defect, Fault, StoreDown
from core.filters import Filter
from core.points import Found, Nearest, Points, Scope, Stored, check_points
from core.records import Index
from core.spaces import EmbeddingSpace
from core.stores import edge_folder as folder
from core.stores import edge_optimize
from core.stores.edge_types import found, is_panic, request, stored, to_filter, translated, upserts
from core.stores.folder_lock import FolderLock
from core.stores.guards import best_first, check_held, check_query, check_same, grouped
from core.stores.translate import of_assets, scoped
from core.types import AssetId

log = logging.getLogger(__name__)
T = TypeVar("T")


class EdgeStore:
    """A VectorStore in this process. `recovered` lists indexes that lost unflushed writes: reconcile those."""

    def __init__(self, root: Path) -> None:
        """Raises StoreLocked when another process or instance holds the folder, StoreDown when it is unusable."""
        os.environ["RUST_BACKTRACE"] = "0"  # a panic is answered below; its trace is pages of noise
        self.recovered: list[str] = []
        self._root = root
        self._process = os.getpid()
        self._lock = RLock()
        self._shards: dict[str, e.EdgeShard] = {}
        self._made: dict[str, dict[str, Any]] = {}  # what each open index was made of
        self._changes: dict[str, edge_optimize.Changes] = {}  # of the indexes that are being optimized
        self._open = True
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._held = FolderLock(root)
            folder.sweep(root)
        except OSError as exc:
            raise StoreDown(f"{root} cannot be used for indexes: {exc}") from exc

    def create(self, index: Index) -> None:
        """See the port. ModelMismatch or Conflict when it exists and differs."""

        def work() -> None:
            kept = folder.description(self._root, index.id)
            if kept is None:
                folder.make(self._root, index)
            else:
                check_same(kept, index)

        self._guard(work)

    def drop(self, index_id: str) -> None:
        """See the port."""

        def work() -> None:
            if index_id in self._shards:
                self._abandon(index_id)
            folder.remove(self._root, index_id)

        self._guard(work)

    def indexes(self) -> list[str]:
        """See the port."""
        return self._guard(lambda: folder.ids(self._root))

    def upsert(self, index: Index, points: Points) -> None:
        """See the port."""
        check_points(points, index.spaces)
        with translated():
            operations = list(upserts(points))
        self._must_hold(index, points.columns)
        for operation in operations:
            self._update(index.id, operation, points.ids)

    def flush(self, index: Index) -> None:
        """See the port: only this reaches the disk, a write does not."""
        self._use(index.id, lambda shard: shard.flush())

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        for below, mine in grouped(assets).items():
            gone = to_filter(of_assets(mine, below=below))
            self._update(index.id, e.UpdateOperation.delete_points_by_filter(gone))

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port."""
        asked = [at for at, query in enumerate(queries) if check_query(index, query)]
        with translated():
            batch = e.QueryBatchRequest([request(queries[at]) for at in asked])
        answers = self._use(index.id, lambda shard: shard.query_batch(batch) if asked else [])
        out: list[list[Found]] = [[] for _ in queries]
        for at, answer in zip(asked, answers, strict=True):
            out[at] = best_first([found(point) for point in answer])
        return out

    def count(self, index: Index, scope: Scope, where: Filter | None = None) -> int:
        """See the port."""
        with translated():
            wanted = e.CountRequest(exact=True, filter=to_filter(scoped(scope, where)))
        return self._use(index.id, lambda shard: shard.count(wanted))

    def of_asset(self, index: Index, asset: AssetId) -> list[Stored]:
        """See the port."""
        mine = to_filter(of_assets([asset]))
        out: list[Stored] = []
        at: UUID | int | str | None = None
        while True:
            page = e.ScrollRequest(offset=at, limit=1000, filter=mine, with_payload=True, with_vector=True)
            records, at = self._page(index.id, page)
            out += [stored(record) for record in records]
            if at is None:
                return sorted(out, key=lambda point: (point.payload["ordinal"], point.id))

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        if limit < 1 or (after is not None and after.int == 2**128 - 1):
            return []
        start = None if after is None else UUID(int=after.int + 1)  # the engine's offset is inclusive
        page = e.ScrollRequest(offset=start, limit=limit, with_payload=True, with_vector=False)
        records, _ = self._page(index.id, page)
        return [stored(record) for record in records]

    def unindexed(self, index: Index) -> int:
        """How many points no search graph covers; too many when points lack vectors of some spaces."""
        dense = sum(not space.sparse for space in index.spaces)
        info = self._use(index.id, lambda shard: shard.info())
        return max(0, info.points_count - info.indexed_vectors_count // max(dense, 1))

    def optimize(self, index: Index) -> None:
        """Build the search graph over what is there, in a child process on a copy, and swap the copy in.

        Takes about a millisecond of processor a new point; searches and writes go on meanwhile, but for the copying
        and the catching up. Killed at any moment it loses nothing: the pointer to the served shard moves in one step.
        Raises Conflict when the index is being optimized already, StoreDown when the child failed.
        """
        copied, changes = self._use(index.id, lambda shard: self._begin(index.id, shard))
        try:
            with translated():
                edge_optimize.in_child(copied)
            self._guard(lambda: self._swap(index.id, copied, changes))
        except BaseException:
            if self._changes.get(index.id) is changes:
                del self._changes[index.id]
            folder.discard(copied)
            raise

    def _begin(self, index_id: str, shard: e.EdgeShard) -> tuple[Path, edge_optimize.Changes]:
        if index_id in self._changes:
            raise Conflict(f"index {index_id!r} is being optimized: wait for it")
        copied = edge_optimize.copy(shard, folder.current(self._root, index_id))
        changes = self._changes[index_id] = edge_optimize.Changes()
        return copied, changes

    def _swap(self, index_id: str, copied: Path, changes: edge_optimize.Changes) -> None:
        if self._changes.get(index_id) is not changes:  # dropped, or broken, meanwhile: what is served stays
            folder.discard(copied)
            return
        old, was = self._shards[index_id], folder.current(self._root, index_id)
        new = e.EdgeShard.load(str(copied))
        edge_optimize.catch_up(old, new, changes)
        folder.point_at(copied)
        self._shards[index_id] = new
        del self._changes[index_id]
        old.close()
        folder.discard(was)

    def close(self) -> None:
        """See the port. In a child of fork it does nothing: the shards are the parent's."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._open = False
            for index_id in list(self._shards):
                self._abandon(index_id)
            self._held.release()

    def _must_hold(self, index: Index, spaces: Iterable[EmbeddingSpace]) -> None:
        """A point with an unknown vector leaves a phantom behind when the log is replayed: it must not get that far."""
        self._use(index.id, lambda _: check_held(self._made[index.id], index, spaces))

    def _update(self, index_id: str, operation: e.UpdateOperation, ids: Sequence[UUID] = ()) -> None:
        """Apply a write of these points, or a delete; noted first when the index is being optimized."""

        def work(shard: e.EdgeShard) -> None:
            if (changes := self._changes.get(index_id)) is not None:
                changes.ids.update(ids)
                changes.deletes += [] if ids else [operation]
            shard.update(operation)

        self._use(index_id, work)

    def _page(self, index_id: str, page: e.ScrollRequest) -> tuple[list[e.Record], UUID | int | str | None]:
        return self._use(index_id, lambda shard: shard.scroll(page))

    def _use(self, index_id: str, work: Callable[[e.EdgeShard], T]) -> T:
        """Run work on a shard, opening it first. A shard that panicked is closed, and recovered at its next use."""

        def on_shard() -> T:
            if index_id not in self._shards:
                self._made[index_id] = folder.description(self._root, index_id) or {}
                self._shards[index_id], lost = folder.load(folder.current(self._root, index_id))
                if lost:
                    self.recovered.append(index_id)
            try:
                return work(self._shards[index_id])
            except BaseException as exc:
                if is_panic(exc):
                    self._abandon(index_id)
                raise

        return self._guard(on_shard)

    def _guard(self, work: Callable[[], T]) -> T:
        """Run work that touches shards. One at a time: the engine holds the interpreter anyhow."""
        if os.getpid() != self._process:
            raise Defect(f"the store is of process {self._process} and would hang in its fork: open another")
        with self._lock, translated():
            if not self._open:
                raise StoreDown("the store is closed: open another")
            return work()

    def _abandon(self, index_id: str) -> None:
        """Close a shard, whatever state it is in; an optimized copy of it is then not swapped in."""
        self._changes.pop(index_id, None)
        try:
            with translated():
                self._shards.pop(index_id).close()
        except Fault as fault:
            log.warning("index %s did not close: %s", index_id, fault)
