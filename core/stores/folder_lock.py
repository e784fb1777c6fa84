"""A lock on a folder that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import StoreLocked


class FolderLock:
    """flock on `folder/lock`, which says who holds it. Raises StoreLocked, naming the holder."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreLocked(
                f"process {holder} holds {folder}: stop it, or let processes share the folder: `quiver store` serves it"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let others in. Harmless twice."""
        self._file.close()
