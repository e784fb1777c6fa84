"""The folder of one Edge index: its description, its shard and the pointer that says which shard is current.

<id>.index/index.json       what the index is made of
<id>.index/current          the name of the shard folder in use; replaced in one step
<id>.index/shard-0/         the engine's own files
<id>.index/shard-<n>/       a later copy, laid out as a folder of indexes with this one in it: a process can serve it
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import qdrant_edge as e

from core.errors import IndexDrifted, NoSuchCollection, StoreDown, StoreLocked
from core.records import Index
from core.stores.edge_types import config, field_indexes, is_panic
from core.stores.folder_lock import FolderLock
from core.stores.guards import describe

log = logging.getLogger(__name__)
_SUFFIX = ".index"
LEAST = 128 << 20  # bytes of disk that a write leaves: the engine takes them by 32 MiB, for its log and its pages
_PATIENCE = 30.0  # seconds that an engine has to end after its store process


def folder_of(root: Path, index_id: str) -> Path:
    """Where an index lies."""
    return root / f"{quote(index_id, safe='')}{_SUFFIX}"


def ids(root: Path) -> list[str]:
    """The ids of all indexes under a root, sorted."""
    return sorted(unquote(folder.name.removesuffix(_SUFFIX)) for folder in root.glob(f"*{_SUFFIX}"))


def check_room(root: Path) -> None:
    """Raises StoreDown while a write could find the disk full: the engine maps files, and the process would be
    killed."""
    free = shutil.disk_usage(root).free
    if free < LEAST:
        raise StoreDown(
            f"no space left to write points: the disk of {root} has {free >> 20} MiB, and {LEAST >> 20} are kept free; "
            "make room and try again"
        )


def make(root: Path, index: Index) -> None:
    """Make an index beside its place and move it there in one step: half an index is never seen."""
    check_room(root)
    final = folder_of(root, index.id)
    draft = final.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "shard-0").mkdir(parents=True)
    shard = e.EdgeShard.create(str(draft / "shard-0"), config(index))
    for operation in field_indexes(index):
        shard.update(operation)
    shard.flush()
    shard.close()
    _write(draft / "index.json", json.dumps(describe(index), indent=1))
    _write(draft / "current", "shard-0")
    sync(draft)
    draft.rename(final)
    sync(root)


def hide(root: Path, index_id: str) -> Path:
    """Take an index out of sight in one step. Where its files are then, to be discarded."""
    final = folder_of(root, index_id)
    gone = final.with_suffix(".gone")
    shutil.rmtree(gone, ignore_errors=True)
    if final.exists():
        final.rename(gone)
    return gone


def sweep(root: Path) -> None:
    """Delete what a killed process left half made or half deleted. Waits for its engines, which end when it did.

    Raises StoreLocked when one does not end.
    """
    for left in [*root.glob("*.draft"), *root.glob("*.gone")]:
        discard(left)
    for index_id in ids(root):
        used = current(root, index_id)
        for shard in folder_of(root, index_id).glob("shard-*"):
            if (shard / "lock").exists():
                _wait_for(shard)
            if shard not in (used, root_of(used)):
                discard(shard)


def _wait_for(shard: Path) -> None:
    until = monotonic() + _PATIENCE
    while True:
        try:
            FolderLock(shard).release()
            return
        except StoreLocked:
            if monotonic() > until:
                raise
        sleep(0.05)


def discard(left: Path) -> None:
    """Delete what is not in use. An optimizing child may outlive its parent and still write there."""
    shutil.rmtree(left, ignore_errors=True)


def copy(root: Path, index_id: str) -> Path:
    """Copy the shard in use, as it is on the disk after a flush: the copy's path. Nothing may write meanwhile."""
    used = current(root, index_id)
    inner = folder_of(folder_of(root, index_id) / f"shard-{uuid4().hex[:8]}", index_id)
    try:
        inner.mkdir(parents=True)
        _write(inner / "index.json", (folder_of(root, index_id) / "index.json").read_text())
        _write(inner / "current", "shard-0")
        shutil.copytree(used, inner / "shard-0")
    except BaseException:
        discard(inner.parent)
        raise
    return inner / "shard-0"


def root_of(copied: Path) -> Path:
    """The folder of indexes in which a copy lies."""
    return copied.parents[1]


def is_copy(root: Path, shard: Path) -> bool:
    """Whether a shard in use is a copy, or the one that was made first under that root."""
    return root_of(shard) != root


def description(root: Path, index_id: str) -> dict[str, Any] | None:
    """What an index is made of; None when there is none."""
    try:
        said: dict[str, Any] = json.loads((folder_of(root, index_id) / "index.json").read_text())
    except FileNotFoundError:
        return None
    return said


def current(root: Path, index_id: str) -> Path:
    """The shard folder in use. Raises NoSuchCollection."""
    folder = folder_of(root, index_id)
    try:
        return folder / (folder / "current").read_text()
    except FileNotFoundError:
        raise NoSuchCollection(f"there is no index {index_id!r}: create it first") from None


def in_use(root: Path, index_id: str, shard: Path) -> bool:
    """Whether it is the one in use, of an index that is there."""
    try:
        return current(root, index_id) == shard
    except NoSuchCollection:
        return False


def point_at(root: Path, index_id: str, copied: Path) -> None:
    """Make a copy the one in use: durable, and in one step."""
    folder = folder_of(root, index_id)
    sync(copied.parent)
    sync(root_of(copied))
    draft = folder / "current.draft"
    _write(draft, str(copied.relative_to(folder)))
    sync(folder)
    draft.replace(folder / "current")
    sync(folder)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    sync(path)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(shard: Path) -> tuple[e.EdgeShard, bool]:
    """Open a shard, and whether it had to be recovered.

    A malformed point panics the engine after it is in the write-ahead log, and again at every replay. The log is then
    moved aside: what was flushed is there, what was not is lost and must be indexed again. Raises IndexDrifted when
    the shard cannot be opened even so.
    """
    opened = _try_load(shard)
    if opened is not None:
        return opened, False
    aside = next(p for n in range(1, 10_000) if not (p := shard / f"wal.unreadable-{n}").exists())
    (shard / "wal").rename(aside)
    log.warning("the write-ahead log of %s cannot be replayed: moved to %s, unflushed writes are lost", shard, aside)
    opened = _try_load(shard)
    if opened is None:
        raise IndexDrifted(f"{shard} cannot be opened: drop the index and index its assets again")
    return opened, True


def _try_load(shard: Path) -> e.EdgeShard | None:
    try:
        return e.EdgeShard.load(str(shard))
    except BaseException as exc:
        if not is_panic(exc):
            raise
        return None
