"""One child of a cage as its parent sees it: started, asked, and judged by how it answers or dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from core import errors
from core.errors import DecoderCrashed, DecoderDown, Defect, Fault, OutOfMemory, Refused, TimedOut
from core.types import Piece
from ingest.limits import Limits
from workers.cage_wire import GO_ON, KEPT, Gone, Late, Message, Nonsense, Wire, longest, unpack

START = 60.0  # seconds in which a child imports what it needs: a third of one where nothing else runs
DYING = 5.0  # seconds from hanging up to being dead

_ROOT = str(Path(__file__).parents[1])
_INHERITED = ("PATH", "LANG", "LC_", "LD_", "PYTHON")  # beginnings of what a child sees of the environment: no secrets
_ALLOCATORS = {
    # Threads and arenas are addresses, which a limit of addresses counts.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Giving memory back after each file and faulting it in for the next takes three times as long as decoding.
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
_LAST_WORDS = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class CageLimits:
    """What decoding one file may take. The setting QUIVER_DECODE_<NAME> raises each."""

    memory_bytes: int = 2 << 30  # of addresses, above those of an idle child
    cpu_seconds: int = 30
    seconds: float = 60
    recycle: int = 2_000  # files after which a child is replaced: what codecs leak goes with it


class Process:
    """A child that serves one file at a time. `usable`: its last answer was whole, so that it can be asked again."""

    def __init__(self, argv: Sequence[str], limits: CageLimits) -> None:
        """Raises DecoderDown when it does not start."""
        self.usable = False
        self.served = 0
        self._limits = limits
        with ExitStack() as opened:
            try:
                self._popen, self._wire, self._shared, self._stderr = _spawn(argv, limits, opened)
            except OSError as exc:
                raise DecoderDown(f"the decoding process cannot be started: {exc}") from exc
            opened.callback(self._kill)
            try:
                self._wire.deadline = time.monotonic() + START
                self.usable = self._wire.receive() == {"ready": True}
            except (Gone, Late, Nonsense) as exc:
                raise DecoderDown(f"the decoding process does not start{self._last_words()}") from exc
            self._opened = opened.pop_all()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen.poll() is None

    def serve(self, request: Message, fd: int, limits: Limits) -> Iterator[Piece]:
        """The pieces of an open file. Raises what `prepare` does, OutOfMemory, TimedOut, DecoderCrashed.

        Each piece may take as much time as a file. Closed before the last, it leaves a child that is not usable.
        """
        self.served += 1
        self._drain()
        piece, count = self._ask(request, limits, fd), 0
        while not piece.last:
            yield piece
            count += len(piece.segments)
            piece = self._ask(GO_ON, limits, start=count)
        self.usable = True
        yield piece

    def _ask(self, request: Message, limits: Limits, fd: int | None = None, *, start: int = 0) -> Piece:
        self.usable = False
        self._wire.deadline = time.monotonic() + self._limits.seconds
        try:
            self._wire.send(request, fd=fd)
            answer = self._wire.receive(most=longest(limits))
            fault = _fault(answer) if "fault" in answer else None
            most = self._limits.memory_bytes
            segments = [] if fault else unpack(answer, self._shared, limits=limits, most=most, start=start)
        except Late:
            raise TimedOut(
                f"decoding it took more than {self._limits.seconds:g} s: repair it, or raise QUIVER_DECODE_SECONDS"
            ) from None
        except Gone:
            raise self._death() from None
        except Nonsense as exc:
            raise DecoderCrashed(f"its decoder answered nonsense ({exc}): repair it or ingest another copy") from exc
        if isinstance(fault, OutOfMemory):
            raise OutOfMemory(
                f"decoding it takes more than {self._limits.memory_bytes:,} bytes of memory: make it smaller or raise "
                "QUIVER_DECODE_MEMORY_BYTES"
            )
        if segments and answer["bytes"] > KEPT:
            os.ftruncate(self._shared, KEPT)
            os.ftruncate(self._shared, self._limits.memory_bytes)
        if fault:
            self.usable = True
            raise fault
        return Piece(segments, last=not answer.get("more"))

    def kill(self) -> None:
        """End it, whatever it is doing; who waits for it learns of it."""
        self._popen.kill()

    def end(self) -> None:
        """Kill it and let go of all that belongs to it. Harmless twice."""
        self.usable = False
        self._opened.close()

    def _kill(self) -> None:
        self._popen.kill()
        self._popen.wait()

    def _death(self) -> Fault:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(DYING)
        status = self._popen.poll()
        if status == -signal.SIGXCPU:
            return TimedOut(
                f"decoding it took more than {self._limits.cpu_seconds} s of processor time: repair it, or raise "
                "QUIVER_DECODE_CPU_SECONDS"
            )
        if status is None:
            how = "hung up"
        else:
            how = f"died by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return DecoderCrashed(f"its decoder {how}: repair it or ingest another copy{self._last_words()}")

    def _drain(self) -> str:
        """What the child said on standard error since the last time."""
        said = b""
        with suppress(BlockingIOError):
            while chunk := os.read(self._stderr, 1 << 16):
                said = (said + chunk)[-4 * _LAST_WORDS :]
        return said.decode("utf-8", "replace")

    def _last_words(self) -> str:
        lines = " | ".join(line.strip() for line in self._drain().splitlines() if line.strip())
        return f" ({lines[-_LAST_WORDS:]})" if lines else ""


def _spawn(
    argv: Sequence[str], limits: CageLimits, opened: ExitStack
) -> tuple[subprocess.Popen[bytes], Wire, int, int]:
    """The process, its socket, the memory shared with it, and a pipe in which is what it writes to standard error."""
    ours, theirs = socket.socketpair()
    opened.enter_context(ours)
    shared = os.memfd_create("pixels")
    opened.callback(os.close, shared)
    said, stderr = os.pipe()
    opened.callback(os.close, said)
    try:
        os.ftruncate(shared, limits.memory_bytes)  # costs what is written
        for end in (said, stderr):
            os.set_blocking(end, False)  # a codec that complains without end fills the pipe and waits for nobody
        given = [theirs.fileno(), shared]
        popen = subprocess.Popen(  # noqa: S603  our own module
            [*argv, *map(str, [*given, limits.memory_bytes, limits.cpu_seconds])],
            stdin=subprocess.PIPE,  # nothing is sent through it: it closes when we die
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=given,
            env=_environment(),
            start_new_session=True,  # an interrupt from the keyboard is ours to answer
        )
    finally:
        theirs.close()
        os.close(stderr)
    if popen.stdin is not None:
        opened.enter_context(popen.stdin)
    return popen, Wire(ours), shared, said


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    return {**kept, **_ALLOCATORS, "PYTHONPATH": path}


def _fault(answer: Message) -> Fault:
    """The fault that a child reports: of the file, or a defect. It is not believed to speak of anything else."""
    kind, message = answer.get("fault"), answer.get("message", "")
    known = getattr(errors, kind, None) if isinstance(kind, str) else None
    if isinstance(known, type) and issubclass(known, (Refused, Defect)) and isinstance(message, str):
        return known(message)
    raise Nonsense("a fault that is none")
