"""The folder of one Edge index: its description, its shard and the pointer that says which shard is current.

<id>.index/index.json       what the index is made of
<id>.index/current          the name of the shard folder in use; replaced in one step
<id>.index/shard-<n>/       the engine's own files
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import qdrant_edge as e

from core.errors import IndexDrifted, NoSuchCollection
from core.records import Index
from core.stores.edge_types import config, field_indexes, is_panic
from core.stores.guards import describe

log = logging.getLogger(__name__)
_SUFFIX = ".index"


def folder_of(root: Path, index_id: str) -> Path:
    """Where an index lies."""
    return root / f"{quote(index_id, safe='')}{_SUFFIX}"


def ids(root: Path) -> list[str]:
    """The ids of all indexes under a root, sorted."""
    return sorted(unquote(folder.name.removesuffix(_SUFFIX)) for folder in root.glob(f"*{_SUFFIX}"))


def make(root: Path, index: Index) -> None:
    """Make an index beside its place and move it there in one step: half an index is never seen."""
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


def remove(root: Path, index_id: str) -> None:
    """Delete an index: out of sight in one step, then file by file."""
    final = folder_of(root, index_id)
    if final.exists():
        gone = final.with_suffix(".gone")
        shutil.rmtree(gone, ignore_errors=True)
        final.rename(gone)
        shutil.rmtree(gone)


def sweep(root: Path) -> None:
    """Delete what a killed process left half made or half deleted."""
    for left in [*root.glob("*.draft"), *root.glob("*.gone")]:
        shutil.rmtree(left)
    for index_id in ids(root):
        used = current(root, index_id)
        for shard in used.parent.glob("shard-*"):
            if shard != used:
                discard(shard)


def discard(shard: Path) -> None:
    """Delete a shard folder that is not in use. An optimizing child may outlive its parent and still write there."""
    shutil.rmtree(shard, ignore_errors=True)


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


def point_at(shard: Path) -> None:
    """Make a shard folder the one in use: durable, and in one step."""
    draft = shard.parent / "current.draft"
    _write(draft, shard.name)
    draft.replace(shard.parent / "current")
    sync(shard.parent)


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
