"""One index in a process of its own: this one never opens the shard, and so never stops for it."""

from __future__ import annotations

from pathlib import Path
from subprocess import TimeoutExpired

from core.stores.process import ProcessStore
from core.stores.spawn import spawn

_BRIEF = 1.0  # seconds between the end of a process's sockets and its own
_OPENING = 300.0  # seconds: a shard of 100,000 points takes one, of many millions a minute


class Engine(ProcessStore):
    """A store process of ours for one folder, which holds one index. It ends, flushed, when we do."""

    def __init__(self, root: Path) -> None:
        """Returns when it serves. Raises StoreDown, StoreLocked."""
        self._spawned = spawn(root, timeout=_OPENING)
        super().__init__(self._spawned.path)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._spawned.pid

    @property
    def over(self) -> bool:
        """Whether it has ended: asked when a call failed."""
        try:
            self._spawned.process.wait(_BRIEF)
        except TimeoutExpired:
            return False
        return True

    def close(self, *, keep: bool = True) -> None:  # noqa: ARG002  a process ends in one way
        """End it: running calls finish, all is flushed."""
        super().close()
        self._spawned.stop()
