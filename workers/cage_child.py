"""A child of a cage: decodes one file at a time under limits, and ends when its parent does.

Run by `workers.cage` as `python -m workers.cage_child SOCKET SHARED MEMORY CPU`: two descriptors, bytes, seconds.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from core.errors import Refused
from core.types import Modality, Wants
from ingest.limits import Limits
from ingest.prepare import prepare
from workers.cage_wire import Gone, Message, Shared, Wire, pack

_FILES = 32  # open files: its own five, the one it decodes, and modules that load late


def main(sock: int, shared: int, memory: int, cpu: int) -> None:
    """Serve until the parent hangs up."""
    die_with_parent()
    wire, area = Wire(socket.socket(fileno=sock)), Shared(shared)
    confine(memory)
    wire.send({"ready": True})
    while True:
        try:
            request, fd = wire.receive_with_fd()
            allow(cpu)
            for answer in _answers(request, fd, area):
                wire.send(answer)
                if not answer.get("more"):
                    break
                wire.receive()
                allow(cpu)
        except Gone:
            return


def die_with_parent() -> None:
    """End when the other end of standard input closes, whatever this process is doing then.

    The kernel signals it (SIGIO, whose default action is to terminate), so that a codec that spins needs no help.
    PR_SET_PDEATHSIG would not do: it fires when the *thread* that started the child ends.
    """
    for number in (signal.SIGIO, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)  # a parent may have ignored them, which children inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGIO, signal.SIGXCPU))
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it was closed before anybody listened
        sys.exit()


def confine(memory: int) -> None:
    """No core file, no written file, few open ones, and `memory` bytes of addresses beyond what an idle child has."""
    idle = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_AS, idle + memory),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def allow(cpu: int) -> None:
    """`cpu` more seconds of processor time, then SIGXCPU."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(spent.ru_utime + spent.ru_stime) + cpu
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _answers(request: Message, fd: int, shared: Shared) -> Iterator[Message]:
    """A message a piece; the last has no `more`."""
    try:
        with open(fd, "rb") as file:
            file.seek(0)  # it shares its place with the parent's, which may ask twice
            wants = request["wants"]
            for piece in prepare(
                file,
                modality=Modality(request["modality"]),
                media_type=request["media_type"],
                limits=Limits(**request["limits"]),
                wants=Wants(**wants | {"contents": frozenset(map(Modality, wants["contents"]))}),
            ):
                yield pack(piece.segments, shared) | ({} if piece.last else {"more": True})
    except Exception as exc:  # noqa: BLE001  a defect costs one file too
        if _lacked_memory(exc):
            yield {"fault": "OutOfMemory"}
        elif isinstance(exc, Refused):
            yield {"fault": exc.kind, "message": str(exc)}
        else:
            yield {"fault": "Defect", "message": f"decoding broke: {type(exc).__name__}: {exc}"}


def _lacked_memory(exc: BaseException | None) -> bool:
    """Whether memory is behind it: an error of Python's or the system's, or of a codec that says it in words."""
    match exc:
        case MemoryError():
            return True
        case OSError(errno=errno.ENOMEM):
            return True
        case OSError():
            return "out of memory" in str(exc).lower()
        case Refused():
            return _lacked_memory(exc.__cause__)
        case _:
            return False


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
