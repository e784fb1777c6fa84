"""Frames of the store's socket: four bytes of length and one msgpack value. Faults cross it by name.

The first frame of each side says its version; this frame never changes. Then a client sends calls and gets one answer
each. Both ends are of the same user, or the connection ends.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from core import errors
from core.errors import BadPoint, Defect, Fault, Misconfigured, TooLarge

VERSION = 2
LIMIT = 256 << 20  # bytes of a frame

_HEAD = struct.Struct("<I")
_PIECE = 1 << 20  # a length is believed only as its bytes come
_LONGEST = 107  # bytes of a socket's path that the kernel takes
_FAULTS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Fault)}
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def socket_of(root: Path) -> Path:
    """Where the process that serves a folder listens."""
    return root / "store.sock"


@contextmanager
def address(path: Path) -> Iterator[str]:
    """What to bind or connect to. The kernel takes 107 bytes; a longer path is reached through its opened folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def patience(peer: socket.socket, seconds: float) -> None:
    """How long the kernel waits to connect, send and receive before it raises BlockingIOError; 0: for ever.

    Python's own timeout would refuse at once to connect to a full queue, and to look at a connection without waiting.
    """
    whole, rest = divmod(seconds, 1)
    for way in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        peer.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", int(whole), int(rest * 1e6)))


@contextmanager
def reading() -> Iterator[None]:
    """The seam for what a peer said: whatever is wrong with it is a Defect."""
    try:
        yield
    except _UNREADABLE as exc:
        raise Defect(f"a malformed frame at the store's socket: {type(exc).__name__}: {exc}") from exc


@contextmanager
def writing() -> Iterator[None]:
    """The seam for what we want to say: a value that cannot be sent could not be stored either."""
    try:
        yield
    except _UNREADABLE as exc:
        raise BadPoint(f"a value cannot be sent to the store process: {exc}") from exc


def frame(value: object) -> bytes:
    """A value as it is sent. Raises BadPoint for what msgpack does not know, TooLarge."""
    with writing():
        body: bytes = msgpack.packb(value)
    if len(body) > LIMIT:
        raise TooLarge(f"{len(body):,} bytes at once is over the {LIMIT:,} of the store process: ask in smaller parts")
    return _HEAD.pack(len(body)) + body


def receive(peer: socket.socket) -> Any:
    """The next value. Raises EOFError when the peer has gone, Defect for what is no frame, OSError."""
    (size,) = _HEAD.unpack(_exactly(peer, _HEAD.size))
    if size > LIMIT:
        raise Defect(f"a malformed frame at the store's socket: it claims {size:,} bytes")
    body = _exactly(peer, size)
    with reading():
        return msgpack.unpackb(body)


def _exactly(peer: socket.socket, size: int) -> bytearray:
    held = bytearray()
    while len(held) < size:
        part = peer.recv(min(size - len(held), _PIECE))
        if not part:
            raise EOFError("the other side has closed the connection")
        held += part
    return held


def hello() -> dict[str, Any]:
    """What each side says first."""
    return {"quiver": "store", "version": VERSION, "pid": os.getpid()}


def check_hello(said: Any) -> None:
    """Raises Misconfigured when the peer speaks another version, the Fault it refused us with, or Defect."""
    with reading():
        if "fault" in said:
            raise fault_from(said)
        if (said["quiver"], said["version"]) != ("store", VERSION):
            raise Misconfigured(
                f"process {said['pid']} speaks version {said['version']} of the store's protocol and process "
                f"{os.getpid()} version {VERSION}: run the same release of Quiver in both"
            )


def check_user(peer: socket.socket) -> None:
    """Raises Misconfigured unless the process at the other end is of our user."""
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid != os.geteuid():
        raise Misconfigured(
            f"process {pid} is of user {uid} and the store's socket serves user {os.geteuid()}: run both as one user"
        )


def fault_to(fault: Fault) -> dict[str, Any]:
    """A fault as an answer."""
    return {"fault": fault.kind, "message": str(fault)}


def fault_from(said: dict[str, Any]) -> Fault:
    """The same fault; a Defect when we know none of that name."""
    kind, message = str(said["fault"]), str(said["message"])
    return _FAULTS[kind](message) if kind in _FAULTS else Defect(f"{kind}: {message}")
