"""Builds the search graph of one shard, in a process of its own: the engine holds the interpreter for the whole time.

    python -m core.stores.edge_optimize <shard folder>

The folder is a copy that nobody serves from; `EdgeStore.optimize` makes it and swaps it in.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import qdrant_edge as e

from core.errors import StoreDown

MODULE = "core.stores.edge_optimize"
_NICE = 19  # searches come first


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
