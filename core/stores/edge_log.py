"""The write-ahead log of one shard, made durable file by file: the engine replays it when it opens the shard.

An acknowledged write is one that the log holds on the disk. The engine appends to mapped files and never syncs them; it
gives a full one another name (`open-1` becomes `closed-2048`) and deletes what its own flush has made unnecessary.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock

LONG = 4  # full files, of 32 MiB each: about 50,000 points of 512 dimensions, a second to replay


class Log:
    """`sync` is safe from several threads, and beside the engine's own work."""

    def __init__(self, shard: Path) -> None:
        self._shard = shard
        self._folder = shard / "wal"
        self._full: set[str] = set()  # the names of full files that are durable: nothing is written to them again
        self._lock = Lock()

    def sync(self) -> bool:
        """All that was written before is durable on return. Whether the log has grown long: let the engine flush."""
        with self._lock:
            while True:
                there = os.listdir(self._folder)  # noqa: PTH208  names, of which most are known
                full = {name for name in there if name.startswith("closed-")}
                try:
                    for name in sorted(set(there) - self._full):
                        _sync(self._folder / name)
                    _sync(self._folder)
                except FileNotFoundError:  # the engine gave it another name, or deleted it: look again
                    continue
                self._full = full
                return len(full) > LONG

    def sync_all(self) -> None:
        """Write out what the shard's other files hold by now: the engine's flush then finds little left to do."""
        for path in self._shard.rglob("*"):
            with suppress(FileNotFoundError):  # deleted meanwhile: nothing to write
                _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)
