"""The store process: owns the shards of a folder and serves them on a socket to processes of the same user.

    python -m core.stores.serve --root FOLDER [--socket PATH] [--optimize-after POINTS] [--while-stdin]

Says one line of JSON when it is ready, or why it cannot be. It ends at SIGTERM, at SIGINT and, with --while-stdin, when
its standard input does: what runs is finished and flushed. Killed, it leaves a socket that the next one replaces.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from core.errors import Defect, Fault, StoreDown
from core.records import Index
from core.stores import calls
from core.stores.edge import EdgeStore
from core.stores.frames import (
    address,
    check_hello,
    check_user,
    fault_to,
    frame,
    hello,
    patience,
    receive,
    socket_of,
)
from core.stores.upkeep import Upkeep

log = logging.getLogger(__name__)
_GRACE = 30.0  # seconds that running calls have at the end


class Server:
    """Serves one folder. The folder's lock says who may: a socket file that is there then is a dead process's."""

    def __init__(self, root: Path, path: Path | None = None, *, optimize_after: int = 0) -> None:
        """Raises StoreLocked when another process holds the folder, StoreDown when it or the socket is unusable."""
        self.path = path or socket_of(root)
        self._store = EdgeStore(root, engines=True)
        self._upkeep = Upkeep(self._store, optimize_after)
        self._written: dict[str, Index] = {}  # to be flushed at the end
        self._peers: dict[Thread, socket.socket] = {}
        self._lock = Lock()
        self._wake, self._woken = socket.socketpair()
        try:
            self._listener = _listen(self.path)
        except OSError as exc:
            self._store.close()
            raise StoreDown(f"the socket {self.path} cannot be made: {exc}") from exc

    def run(self, until: int | None = None) -> None:
        """Serve until `stop`, or until the file descriptor `until` ends; then finish, flush and close."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._listener, selectors.EVENT_READ)
            waiting.register(self._woken, selectors.EVENT_READ)
            if until is not None:
                waiting.register(until, selectors.EVENT_READ)
            while {key.fileobj for key, _ in waiting.select()} == {self._listener}:
                self._accept()
        self._finish()

    def stop(self) -> None:
        """End `run`. From any thread, and from a signal's handler."""
        self._wake.send(b".")

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
            thread = Thread(target=self._converse, args=[peer], daemon=True)
            with self._lock:
                self._peers[thread] = peer
            thread.start()
        except (OSError, RuntimeError) as exc:  # no more files, or no more threads
            log.warning("a connection was not accepted: %s", exc)
            sleep(0.1)

    def _converse(self, peer: socket.socket) -> None:
        """A client's calls, one after another, until it goes or says what is no call."""
        try:
            with peer:
                patience(peer, 0)
                self._greet(peer)
                while True:
                    peer.sendall(self._answer(receive(peer)))
        except EOFError:
            pass  # it has gone, as it may
        except (Fault, OSError) as exc:
            log.warning("a client was cut off: %s", exc)
        finally:
            with self._lock:
                self._peers = {thread: its for thread, its in self._peers.items() if its is not peer}

    def _greet(self, peer: socket.socket) -> None:
        try:
            check_user(peer)
            check_hello(receive(peer))
        except Fault as fault:
            peer.sendall(frame(hello() | fault_to(fault)))
            raise
        peer.sendall(frame(hello()))

    def _answer(self, said: Any) -> bytes:
        try:
            call = calls.read(said)
            if call.writes and call.index is not None:
                self._written[call.index.id] = call.index
            answer = frame({"is": call.work(self._store)})
        except Fault as fault:
            return frame(fault_to(fault))
        except Exception as exc:
            log.exception("a call broke")
            return frame(fault_to(Defect(f"{type(exc).__name__} in the store process: {exc}")))
        if call.index is not None:
            self._upkeep.note(call.index, call.points)
        return answer

    def _finish(self) -> None:
        self._upkeep.stop()
        self.path.unlink(missing_ok=True)
        self._listener.close()
        with self._lock:
            peers = dict(self._peers)
        for peer in peers.values():
            _hang_up(peer)
        until = monotonic() + _GRACE
        for thread in peers:
            thread.join(max(0.0, until - monotonic()))
        for index in list(self._written.values()):
            try:
                self._store.flush(index)
            except Fault as fault:
                log.warning("index %s was not flushed: %s", index.id, fault)
        self._store.close()
        self._wake.close()
        self._woken.close()


def _listen(path: Path) -> socket.socket:
    """A socket that none but our user can open, at a path that is ours to replace."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it has a name: there is no moment at which others can open it
        path.unlink(missing_ok=True)
        with address(path) as where:
            listener.bind(where)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _hang_up(peer: socket.socket) -> None:
    """Read no more calls; the answer to the one that runs can still be sent."""
    try:
        peer.shutdown(socket.SHUT_RD)
    except OSError as exc:
        log.debug("a client had gone: %s", exc)


def serve(
    root: Path,
    path: Path | None = None,
    *,
    optimize_after: int,
    until: int | None = None,
    ready: Callable[[Path], None],
) -> None:
    """Serve a folder in this process, of which this is the main thread, until a signal or the end of `until`.

    Raises StoreLocked, StoreDown.
    """
    server = Server(root, path, optimize_after=optimize_after)
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ready(server.path)
        server.run(until)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m core.stores.serve", description="Serve the shards of a folder.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--socket", type=Path, default=None)
    parser.add_argument("--optimize-after", type=int, default=0)
    parser.add_argument("--while-stdin", action="store_true")
    said = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)

    def tell(**what: object) -> None:
        with suppress(BrokenPipeError):  # whoever started us has died: its end of stdin says so, or we outlive it
            os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")

    try:
        serve(
            said.root,
            said.socket,
            optimize_after=said.optimize_after,
            until=sys.stdin.fileno() if said.while_stdin else None,
            ready=lambda path: tell(socket=str(path), pid=os.getpid()),
        )
    except Fault as fault:
        tell(**fault_to(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
