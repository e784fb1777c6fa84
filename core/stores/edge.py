"""Qdrant Edge, the embedded store: one shard folder an index, held by one process.

The engine is fast and unforgiving; every guard here answers something it was measured to do
(docs/decisions/0003-edge-guards.md), and tests/contract/test_edge_facts.py tells when an upgrade changes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TypeVar
from uuid import UUID

from core.errors import Conflict, Defect, IndexDrifted, StoreDown
from core.filters import Filter
from core.points import Found, Nearest, Points, Scope, Stored
from core.records import Index
from core.spaces import EmbeddingSpace
from core.stores import edge_changes, edge_optimize
from core.stores import edge_folder as folder
from core.stores.edge_shard import Shard
from core.stores.edge_types import translated
from core.stores.engine import Engine
from core.stores.folder_lock import FolderLock
from core.stores.guards import check_same
from core.types import AssetId

log = logging.getLogger(__name__)
T = TypeVar("T")
_ROUNDS = 20  # of catching up while others write
_FEW = 64  # assets that a writer may wait for


class EdgeStore:
    """A VectorStore in this process. With `engines`, an index that was ever optimized has a process of its own."""

    def __init__(self, root: Path, *, engines: bool = False) -> None:
        """Raises StoreLocked when another process or instance holds the folder, StoreDown when it is unusable."""
        os.environ["RUST_BACKTRACE"] = "0"  # a panic is answered below; its trace is pages of noise
        self._root = root
        self._engines = engines
        self._process = os.getpid()
        self._lock = RLock()  # of what follows, and only for a moment; taken last
        self._held: dict[str, Shard | Engine] = {}
        self._writing: dict[str, RLock] = {}  # by index: held by who writes, and while it is copied; searches go on
        self._opening: dict[str, RLock] = {}  # by index
        self._changed: dict[str, set[AssetId]] = {}  # of the indexes that are being optimized, since they were copied
        self._recovered: list[str] = []
        self._open = True
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._folder_lock = FolderLock(root)
            try:
                folder.sweep(root)
            except BaseException:
                self._folder_lock.release()
                raise
        except OSError as exc:
            raise StoreDown(f"{root} cannot be used for indexes: {exc}") from exc

    @property
    def recovered(self) -> list[str]:
        """Indexes that lost unflushed writes since the store was opened: reconcile those."""
        for index_id, held in list(self._held.items()):
            if isinstance(held, Engine) and index_id not in self._recovered:
                try:
                    self._recovered += held.recovered
                except StoreDown as fault:
                    log.warning("the engine of index %s cannot be asked what it recovered: %s", index_id, fault)
        return list(self._recovered)

    def create(self, index: Index) -> None:
        """See the port. ModelMismatch or Conflict when it exists and differs."""
        with self._writes(index.id), translated():
            kept = folder.description(self._root, index.id)
            if kept is None:
                folder.make(self._root, index)
            else:
                check_same(kept, index)

    def drop(self, index_id: str) -> None:
        """See the port."""
        with self._writes(index_id), translated():
            with self._opens(index_id), self._lock:
                gone = folder.hide(self._root, index_id)
                held = self._held.pop(index_id, None)
                self._changed.pop(index_id, None)
            if held is not None:
                held.close(keep=False)
            folder.discard(gone)

    def indexes(self) -> list[str]:
        """See the port."""
        self._check()
        return folder.ids(self._root)

    def upsert(self, index: Index, points: Points) -> None:
        """See the port."""
        with translated():
            folder.check_room(self._root)
        assets = (AssetId(UUID(said["asset"])) for said in points.payloads)
        self._write(index, assets, lambda held: held.upsert(index, points))

    def flush(self, index: Index) -> None:
        """See the port: only this reaches the disk, a write does not."""
        self._write(index, (), lambda held: held.flush(index))

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        self._write(index, assets, lambda held: held.forget(index, assets))

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port."""
        return self._ask(index.id, lambda held: held.search(index, queries))

    def count(self, index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        """See the port."""
        return self._ask(index.id, lambda held: held.count(index, scope, where, exact=exact))

    def of_assets(self, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """See the port."""
        return self._ask(index.id, lambda held: held.of_assets(index, assets))

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        return self._ask(index.id, lambda held: held.scroll(index, after=after, limit=limit))

    def unindexed(self, index: Index) -> int:
        """How many points no search graph covers; too many when points lack vectors of some spaces."""
        return self._ask(index.id, lambda held: held.unindexed(index))

    def optimize(self, index: Index) -> None:
        """Build the search graph over what is there, in a child process on a copy, and serve from that.

        Takes about a millisecond of processor a new point. Searches go on; writes wait while the shard is copied and
        for the last few changes. With engines a process opens the copy and serves it; without, it is opened here, and
        searches wait for that, half a second at 100,000 points. What is not an engine yet is closed here: a fifth of a
        second at 100,000 points, so optimize before. Killed at any moment it loses nothing: the pointer to
        the served shard moves in one step. Raises Conflict when the index is being optimized already, StoreDown when
        the child failed.
        """
        with self._writes(index.id), translated():
            if index.id in self._changed:
                raise Conflict(f"index {index.id!r} is being optimized: wait for it")
            self.flush(index)
            copied = folder.copy(self._root, index.id)
            changed = self._changed[index.id] = set()
        new: Shard | Engine | None = None
        try:
            with translated():
                edge_optimize.in_child(copied)
                if self._changed.get(index.id) is changed:  # it was not dropped meanwhile
                    new = self._open_at(index.id, copied)
                    self._catch_up(index, new, changed)
                    self._replace(index, new, changed, copied)
        finally:
            if self._changed.get(index.id) is changed:
                del self._changed[index.id]
            if new is not None and self._held.get(index.id) is not new:
                new.close()
            # What serves may have died and been opened afresh since the step: only the pointer says what is in use.
            if not folder.in_use(self._root, index.id, copied):
                folder.discard(folder.root_of(copied))

    def _catch_up(self, index: Index, new: Shard | Engine, changed: set[AssetId]) -> None:
        """Bring an optimized copy close to what is served, while others go on to write: but for a few assets."""
        for _ in range(_ROUNDS):
            with self._writes(index.id):  # what is noted by now was also written by now
                part = set(changed)
                changed.clear()
            self._bring(index, new, part)
            new.flush(index)
            if len(changed) <= _FEW:
                return

    def _bring(self, index: Index, new: Shard | Engine, assets: set[AssetId]) -> None:
        made = folder.description(self._root, index.id) or {}
        whole = replace(index, spaces=tuple(EmbeddingSpace.from_dict(said) for said in made.get("spaces", ())))
        edge_changes.catch_up(lambda some: self.of_assets(whole, some), new, whole, assets)

    def _replace(self, index: Index, new: Shard | Engine, changed: set[AssetId], copied: Path) -> None:
        """The rest of the changes, and the step: on the disk, then here. Those who search in the old one try again."""
        with self._writes(index.id):
            if self._changed.get(index.id) is not changed:
                return
            self._bring(index, new, changed)
            new.flush(index)
            was = folder.current(self._root, index.id)
            with self._opens(index.id), self._lock:
                self._check()
                folder.point_at(self._root, index.id, copied)
                old = self._held.get(index.id)
                self._held[index.id] = new
                del self._changed[index.id]
        if old is not None:
            old.close(keep=False)
        folder.discard(folder.root_of(was) if folder.is_copy(self._root, was) else was)

    def serve(self, index: Index) -> None:
        """See the port: nobody else reads it."""

    def close(self) -> None:
        """See the port. In a child of fork it does nothing: the shards are the parent's."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._open = False
            held = [self._held.pop(index_id) for index_id in list(self._held)]
        for each in held:
            each.close()
        self._folder_lock.release()

    def _writes(self, index_id: str) -> RLock:
        """Whoever changes an index holds this; so does who copies it."""
        self._check()
        return self._writing.setdefault(index_id, RLock())

    def _opens(self, index_id: str) -> RLock:
        """Whoever opens an index holds this; so does who changes what is to be opened."""
        return self._opening.setdefault(index_id, RLock())

    def _write(self, index: Index, assets: Iterable[AssetId], work: Callable[[Shard | Engine], None]) -> None:
        """Change points of these assets; noted first when the index is being optimized."""
        with self._writes(index.id):
            if (changed := self._changed.get(index.id)) is not None:
                with translated():
                    changed.update(assets)
            self._ask(index.id, work)

    def _ask(self, index_id: str, work: Callable[[Shard | Engine], T]) -> T:
        """Run work on an index, opening it first; once more when what served it was replaced, or has died."""
        while True:
            held = self._hold(index_id)
            try:
                return work(held)
            except (StoreDown, IndexDrifted) as fault:
                if not self._is_over(index_id, held) or isinstance(fault, IndexDrifted):
                    raise

    def _hold(self, index_id: str) -> Shard | Engine:
        self._check()
        with self._lock:
            if (held := self._held.get(index_id)) is not None:
                return held
        with self._opens(index_id), translated():
            if (held := self._held.get(index_id)) is None:
                held = self._open_at(index_id, folder.current(self._root, index_id))
                with self._lock:
                    if self._open:
                        self._held[index_id] = held
                if not self._open:
                    held.close()
                self._check()
            return held

    def _open_at(self, index_id: str, path: Path) -> Shard | Engine:
        """An index as it lies there. To open and to close a large one here would hold the interpreter."""
        if self._engines and folder.is_copy(self._root, path):
            return Engine(folder.root_of(path))
        shard = Shard(path, folder.description(self._root, index_id) or {})
        if shard.lost:
            self._recovered.append(index_id)
        return shard

    def _is_over(self, index_id: str, held: Shard | Engine) -> bool:
        """Whether another serves the index by now, or must: what has panicked or died is opened afresh."""
        over = held.over
        with self._lock:
            if over and self._held.get(index_id) is held:
                del self._held[index_id]
                log.warning("index %s is opened afresh", index_id)
                if isinstance(held, Engine):
                    held.close()
            return self._held.get(index_id) is not held

    def _check(self) -> None:
        if os.getpid() != self._process:
            raise Defect(f"the store is of process {self._process} and would hang in its fork: open another")
        if not self._open:
            raise StoreDown("the store is closed: open another")
