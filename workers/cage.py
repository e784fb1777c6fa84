"""Media decoded in child processes under limits, so that a hostile file costs one file and never the worker."""

from __future__ import annotations

import io
import os
import queue
import shutil
import sys
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import BinaryIO

from core.errors import DecoderCrashed, DecoderDown, Misconfigured, OutOfMemory
from core.runtime import metrics
from core.runtime.settings import lane_count
from core.runtime.wiring import Parts
from core.types import Modality, Piece, Wants
from ingest.limits import Limits, size_limit
from workers.cage_process import CageLimits, Process
from workers.cage_wire import Message

CHILD = (sys.executable, "-P", "-B", "-m", "workers.cage_child")  # -P: no module of the folder we stand in; -B: no .pyc


class Cage:
    """`ingest.prepare` in children, kept warm and replaced when they die. Safe to call from several threads.

    A verdict that a child's past may have caused (it crashed, or lacked memory) counts only from a fresh child: no file
    is blamed for what an earlier one broke.
    """

    def __init__(self, *, children: int, limits: CageLimits, argv: Sequence[str] = CHILD) -> None:
        if sys.platform != "linux":
            raise Misconfigured("decoding in child processes needs Linux: set QUIVER_DECODE=inline")
        self._limits, self._argv = limits, tuple(argv)
        self._owner = os.getpid()
        self._count = children
        # Last in, first out: the warm ones are asked first, and those that are never needed never start.
        self._slots: queue.LifoQueue[Process | None] = queue.LifoQueue()
        for _ in range(children):
            self._slots.put(None)
        self._lock = threading.Lock()  # of the two below
        self._closed = False
        self._running: set[Process] = set()
        weakref.finalize(self, _end_all, self._running, self._owner)  # also when Python exits

    def prepare(
        self,
        data: bytes | BinaryIO,
        *,
        modality: Modality,
        media_type: str,
        limits: Limits,
        wants: Wants,
        fresh: bool = False,
    ) -> Generator[Piece, None, None]:
        """As `ingest.prepare.prepare`, faults included. An open local file is read in the child.

        A child is busy until the last piece was taken, or this is closed. `fresh`: one that has no past.
        Raises besides: OutOfMemory, TimedOut, DecoderCrashed; DecoderDown when no child can be started.
        """
        request = _request(modality, media_type, limits, wants)
        begun = False
        with _as_file(data) as fd:
            limits.check(size_limit(media_type), os.fstat(fd).st_size)
            with self._child(fresh=fresh) as child:
                had_past = child.served > 0
                try:
                    for piece in child.serve(request, fd, limits):
                        begun = True
                        yield piece
                    return
                except (DecoderCrashed, OutOfMemory):
                    if begun or (not had_past and not self._closed):
                        raise
            with self._child(fresh=True) as child:
                yield from child.serve(request, fd, limits)

    def close(self) -> None:
        """End all children, those at work too, and wait until they are gone. Harmless twice."""
        with self._lock:
            self._closed = True
            for child in self._running:
                child.kill()
        for left in [self._slots.get() for _ in range(self._count)]:  # who was at work notices, and hands it back
            if left is not None:
                self._end(left)
        for _ in range(self._count):
            self._slots.put(None)

    @contextmanager
    def _child(self, *, fresh: bool = False) -> Iterator[Process]:
        child: Process | None = self._slots.get()
        try:
            if child is not None and (fresh or not child.alive):
                self._replace(child, "doubted" if child.alive else "broken")
                child = None
            if child is None:
                child = self._start()
            yield child
        finally:
            if child is not None and (self._closed or not child.usable or child.served >= self._limits.recycle):
                self._replace(child, "recycled" if child.usable else "broken")
                child = None
            self._slots.put(child)

    def _start(self) -> Process:
        self._check_open()
        child = Process(self._argv, self._limits)
        with self._lock:
            self._running.add(child)
        try:
            self._check_open()  # it may have been closed meanwhile
        except DecoderDown:
            self._end(child)
            raise
        return child

    def _replace(self, child: Process, why: str) -> None:
        self._end(child)
        if not self._closed:
            metrics.decoder_replaced(why)

    def _end(self, child: Process) -> None:
        child.end()
        with self._lock:
            self._running.discard(child)

    def _check_open(self) -> None:
        if self._closed:
            raise DecoderDown("the decoding processes were closed: open the parts again")
        if os.getpid() != self._owner:
            raise DecoderDown("the decoding processes belong to the process that this one was forked from: open anew")


def cage_of(parts: Parts) -> Cage:
    """The cage of these parts, one child a lane, closed with them."""
    said = parts.settings

    def make() -> Cage:
        limits = CageLimits(
            memory_bytes=said.decode_memory_bytes,
            cpu_seconds=said.decode_cpu_seconds,
            seconds=said.decode_seconds,
            recycle=said.decode_recycle,
        )
        return Cage(children=lane_count(said), limits=limits)

    return parts.also(Cage, make)


@contextmanager
def _as_file(data: bytes | BinaryIO) -> Iterator[int]:
    """A descriptor of a file that holds it: its own, or one in memory."""
    own = getattr(data, "raw", data)
    if isinstance(own, io.FileIO):
        yield own.fileno()
        return
    try:
        held = os.memfd_create("media")
    except OSError as exc:
        raise DecoderDown(f"no file can be opened to hand to a decoding process: {exc.strerror}") from exc
    with open(held, "wb") as out:  # noqa: PTH123  a descriptor has no path
        shutil.copyfileobj(io.BytesIO(data) if isinstance(data, bytes) else data, out)
        out.flush()
        yield held


@lru_cache(maxsize=64)
def _request(modality: Modality, media_type: str, limits: Limits, wants: Wants) -> Message:
    """What a child is asked: the same again and again, and slow to write out."""
    wanted = asdict(wants) | {"contents": sorted(wants.contents)}
    return {"modality": modality, "media_type": media_type, "limits": asdict(limits), "wants": wanted}


def _end_all(running: set[Process], owner: int) -> None:
    if os.getpid() == owner:
        for child in list(running):
            child.end()
