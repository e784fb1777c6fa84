"""A store process that is a thread: the same socket, frames and calls, and no process to wait for."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

from core.stores.process import ProcessStore
from core.stores.serve import Server


class ServedStore(ProcessStore):
    """A client with a server of its own, which ends when it is closed."""

    def __init__(self, root: Path, *, optimize_after: int = 0) -> None:
        self.server = Server(root, optimize_after=optimize_after)
        self.thread = Thread(target=self.server.run)
        self.thread.start()
        super().__init__(self.server.path)

    def close(self) -> None:
        """Close the client, then end the server."""
        super().close()
        if self.thread.is_alive():
            self.server.stop()
        self.thread.join()
