"""`Quiver.connect`: the same methods as the embedded facade, answered by a server."""

from __future__ import annotations

from types import TracebackType

from quiver.remote.archive import Archive
from quiver.remote.calibrating import Calibrating
from quiver.remote.erasing import RemoteErasing
from quiver.remote.recommending import Recommending
from quiver.remote.reindexing import Reindexing
from quiver.remote.sending import Sending


class RemoteQuiver(Calibrating, Sending, RemoteErasing, Recommending, Reindexing, Archive):
    """A server's collections as one API key sees them. Safe to use from several threads."""

    def __enter__(self) -> RemoteQuiver:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections. Harmless twice."""
        self._wire.close()
