"""Builds the search graph of one shard, in a process of its own: the engine holds the interpreter for the whole time.

    python -m core.stores.edge_optimize <shard folder>

The folder is a copy that nobody serves from; `EdgeStore.optimize` makes it and swaps it in.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

import qdrant_edge as e

from core.errors import StoreDown

MODULE = "core.stores.edge_optimize"
_NICE = 10  # searches come first
_CHUNK = 256  # points replayed at once


@dataclass(slots=True)
class Changes:
    """What was written while a copy was being optimized: ids that may differ, and the deletes, in order."""

    ids: set[UUID] = field(default_factory=set)
    deletes: list[e.UpdateOperation] = field(default_factory=list)


def copy(shard: e.EdgeShard, folder: Path) -> Path:
    """Copy a shard, as it is on disk after a flush, beside itself. Nothing may write meanwhile."""
    shard.flush()
    copied = folder.with_name(f"shard-{uuid4().hex[:8]}")
    shutil.copytree(folder, copied)
    return copied


def in_child(folder: Path) -> None:
    """Optimize a copy in a child process. Raises StoreDown, saying what the child said last."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(  # noqa: S603  # our own module, our own path
        [sys.executable, "-m", MODULE, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StoreDown(f"optimizing failed with status {done.returncode}: {done.stderr[-500:]}")


def catch_up(old: e.EdgeShard, new: e.EdgeShard, changes: Changes) -> None:
    """Bring an optimized copy to what the served shard holds by now. Deletes first: a later write wins over them."""
    for operation in changes.deletes:
        new.update(operation)
    for ids in _chunks(changes.ids):
        there = old.retrieve(list(ids), True, True)
        points = [e.Point(record.id, record.vector or {}, record.payload) for record in there]
        if points:
            new.update(e.UpdateOperation.upsert_points(points))
        if gone := set(ids) - {UUID(str(record.id)) for record in there}:
            new.update(e.UpdateOperation.delete_points(list(gone)))
    new.flush()


def _chunks(ids: set[UUID]) -> Iterator[list[UUID]]:
    left = iter(ids)
    while part := list(islice(left, _CHUNK)):
        yield part


def main(folder: str) -> None:
    """Optimize the shard in that folder, which no other process has open."""
    os.nice(_NICE)
    _die_with_parent()
    shard = e.EdgeShard.load(folder)
    shard.optimize()
    shard.flush()
    shard.close()
    for path in [*Path(folder).rglob("*"), Path(folder)]:  # the copying was not durable, only what was flushed since
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _die_with_parent() -> None:
    """Nobody will swap in the copy of a parent that has gone. Where the kernel is not Linux the work is just wasted."""
    set_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
