"""The store of another process on this machine: the VectorStore port over the socket of `core.stores.serve`."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from core.errors import Misconfigured, StoreDown
from core.filters import Filter
from core.points import Found, Nearest, Points, Scope, Stored, check_points
from core.records import Index
from core.stores import wire
from core.stores.frames import (
    address,
    check_hello,
    check_user,
    fault_from,
    frame,
    hello,
    patience,
    reading,
    receive,
    writing,
)
from core.stores.guards import check_query
from core.types import AssetId

CONNECT_TIMEOUT = 5.0  # seconds
_IDLE = 8  # connections kept for the next call


def answers(path: Path) -> bool:
    """Whether a store process serves that socket. Raises Misconfigured when it does, but not us."""
    if not path.is_socket():
        return False
    try:
        connect(path, CONNECT_TIMEOUT).close()
    except StoreDown:
        return False
    return True


class ProcessStore:
    """A VectorStore of another process. Each call has a connection of its own; safe in threads and after a fork.

    StoreDown when the process has gone: what a call did that failed is unknown, and it may be tried again.
    """

    def __init__(self, path: Path, *, connect_timeout: float = CONNECT_TIMEOUT, call_timeout: float = 120.0) -> None:
        """Connects when it is first asked. A call fails after `call_timeout` seconds of silence."""
        self._path = path
        self._connect_timeout = connect_timeout
        self._call_timeout = call_timeout
        self._idle: dict[int, deque[socket.socket]] = {}  # by process: a fork must not speak on its parent's
        self._open = True

    @property
    def recovered(self) -> list[str]:
        """Indexes that lost unflushed writes since the process began: reconcile those."""
        return list(self._call("recovered"))

    def create(self, index: Index) -> None:
        """See the port. ModelMismatch or Conflict when it exists and differs."""
        self._call("create", index=wire.index_to(index))

    def drop(self, index_id: str) -> None:
        """See the port."""
        self._call("drop", id=index_id)

    def indexes(self) -> list[str]:
        """See the port."""
        return list(self._call("indexes"))

    def upsert(self, index: Index, points: Points) -> None:
        """See the port."""
        check_points(points, index.spaces)
        with writing():
            said = wire.points_to(points)
        self._call("upsert", index=wire.index_to(index), points=said)

    def flush(self, index: Index) -> None:
        """See the port."""
        self._call("flush", index=wire.index_to(index))

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        self._call("forget", index=wire.index_to(index), assets=wire.ids_to(assets), below=list(assets.values()))

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port."""
        for query in queries:
            check_query(index, query)
        with writing():
            said = [wire.nearest_to(query) for query in queries]
        answer = self._call("search", index=wire.index_to(index), queries=said)
        with reading():
            return [wire.found_from(found) for found in answer]

    def count(self, index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        """See the port."""
        asked = {"scope": wire.scope_to(scope), "where": wire.filter_to(where), "exact": exact}
        said = self._call("count", index=wire.index_to(index), **asked)
        with reading():
            return int(said)

    def of_assets(self, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """See the port."""
        return self._points("of_assets", index=wire.index_to(index), assets=wire.ids_to(assets))

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        start = None if after is None else after.bytes
        return self._points("scroll", index=wire.index_to(index), after=start, limit=limit)

    def unindexed(self, index: Index) -> int:
        """How many points no search graph covers; too many when points lack vectors of some spaces."""
        said = self._call("unindexed", index=wire.index_to(index))
        with reading():
            return int(said)

    def serve(self, index: Index) -> None:
        """See the port: nobody else reads it."""

    def close(self) -> None:
        """See the port. The other process goes on."""
        self._open = False
        for peer in self._pool():
            peer.close()

    def _points(self, call: str, **said: Any) -> list[Stored]:
        answer = self._call(call, **said)
        with reading():
            return [wire.stored_from(point) for point in answer]

    def _call(self, call: str, **said: Any) -> Any:
        """One call and its answer. A connection on which anything went wrong is not used again."""
        if not self._open:
            raise StoreDown("the store is closed: open another")
        request = frame({"call": call, **said})
        peer = self._take()
        try:
            peer.sendall(request)
            answer = receive(peer)
        except (OSError, EOFError) as exc:
            peer.close()
            silent = isinstance(exc, BlockingIOError)
            why = f"did not answer in {self._call_timeout:g} s" if silent else f"broke off a call ({exc})"
            raise StoreDown(f"the store process at {self._path} {why}: try again") from exc
        except BaseException:
            peer.close()
            raise
        self._give(peer)
        with reading():
            if "fault" in answer:
                raise fault_from(answer)
            return answer["is"]

    def _pool(self) -> deque[socket.socket]:
        return self._idle.setdefault(os.getpid(), deque())

    def _take(self) -> socket.socket:
        """An idle connection that is still good, or a new one."""
        pool = self._pool()
        while True:
            try:
                peer = pool.pop()
            except IndexError:
                peer = connect(self._path, self._connect_timeout)
                patience(peer, self._call_timeout)
                return peer
            if _quiet(peer):
                return peer
            peer.close()

    def _give(self, peer: socket.socket) -> None:
        pool = self._pool()
        if self._open and len(pool) < _IDLE:
            pool.append(peer)
        else:
            peer.close()


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to the store process, greeted. Raises StoreDown when none answers, Misconfigured when not to us."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        patience(peer, timeout)
        with address(path) as where:
            peer.connect(where)
        check_user(peer)
        peer.sendall(frame(hello()))
        check_hello(receive(peer))
    except BaseException as exc:
        peer.close()
        if isinstance(exc, PermissionError):
            raise Misconfigured(f"{path} is another user's: run this as the user of the store") from exc
        if isinstance(exc, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            raise StoreDown(f"no store process serves {path}: start one with `quiver store`") from exc
        if isinstance(exc, OSError | EOFError):
            raise StoreDown(f"the store process at {path} does not answer ({exc}): see to it, or try again") from exc
        raise
    return peer


def _quiet(peer: socket.socket) -> bool:
    """Whether nothing has come while nothing was asked: neither an end nor a late word."""
    try:
        peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
