"""Cages whose children do what a test asks for, and how their answers are compared."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.errors import CorruptMedia
from core.types import Audio, Image, Modality, Segment, Wants
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from tests.photos import photo
from workers.cage import CHILD, Cage
from workers.cage_process import CageLimits

# The real child, whose decoder does what the beginning of a file asks for.
STUB = """
import ctypes, io, json, os, resource, sys, time
from core.errors import CorruptMedia
from core.types import Piece, Segment, Text
from workers import cage_child

real, grudge = cage_child.prepare, []

def prepare(source, **more):
    data = source.read()
    if grudge:
        ctypes.string_at(0)
    match data.split(b":")[0]:
        case b"segfault": ctypes.string_at(0)
        case b"abort": os.write(2, b"codec: heap is gone\\n"); os.abort()
        case b"exit": os._exit(3)
        case b"hang up": os.close(int(sys.argv[1])); time.sleep(60)
        case b"sleep": time.sleep(60)
        case b"spin":
            while True: pass
        case b"noise": [os.write(2, b"x" * 1000) for _ in range(60)]; sys.stderr.close()
        case b"grudge": grudge.append(1)
        case b"hoard": bytearray(1 << 40)
        case b"bug": raise KeyError("of ours")
        case b"write": os.write(os.open(data.split(b":")[1], os.O_CREAT | os.O_WRONLY), b"x")
        case b"pieces":
            n, a = int(data.split(b":")[1]), 3
            return (Piece([Segment(a * i + k, Text("w")) for k in range(a)], i == n - 1) for i in range(n))
        case b"tell": raise CorruptMedia(json.dumps({
            "environment": dict(os.environ), "pid": os.getpid(), "modules": list(sys.modules),
            "core": resource.getrlimit(resource.RLIMIT_CORE)}))
    return real(io.BytesIO(GOOD), **more)
""".replace("GOOD", repr(photo()))
PARROT = """
import os, socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
said = b'{"ready": true}'
sock.sendall(len(said).to_bytes(4, "little") + said)
while True:
    head, fds, _, _ = socket.recv_fds(sock, 65536, 1)
    if not head: break
    sock.sendall(os.pread(fds[0], 1 << 20, 0))
    os.close(fds[0])
"""
LIMITS = Limits()


def stub(code: str = STUB) -> list[str]:
    main = "\ncage_child.prepare = prepare\ncage_child.main(*map(int, sys.argv[1:5]))" if code is STUB else ""
    return [sys.executable, "-P", "-c", code + main]


@contextmanager
def making() -> Iterator[Callable[..., Cage]]:
    """A function that makes cages, which are closed at the end of the block."""
    made: list[Cage] = []

    def make(argv: Any = CHILD, *, children: int = 1, **limits: Any) -> Cage:
        made.append(Cage(children=children, limits=CageLimits(**limits), argv=argv))
        return made[-1]

    yield make
    for cage in made:
        cage.close()


def ask(
    cage: Cage, data: Any, *, modality: Modality = Modality.IMAGE, limits: Limits = LIMITS, side: int = 0
) -> list[Segment]:
    wants = Wants(pixels=side)
    return whole(cage.prepare(data, modality=modality, media_type="x/y", limits=limits, wants=wants))


def told(cage: Cage) -> dict[str, Any]:
    with pytest.raises(CorruptMedia) as said:
        ask(cage, b"tell")
    found: dict[str, Any] = json.loads(str(said.value))
    return found


def inline(
    data: bytes, *, modality: Modality = Modality.IMAGE, limits: Limits = LIMITS, side: int = 0
) -> list[Segment]:
    wants = Wants(pixels=side)
    return whole(prepare(io.BytesIO(data), modality=modality, media_type="x/y", limits=limits, wants=wants))


def same(found: list[Segment], wanted: list[Segment]) -> bool:
    def plain(segment: Segment) -> Any:
        match segment.content:
            case Image(pixels):
                return segment.ordinal, pixels.shape, pixels.dtype, pixels.tobytes(), segment.span
            case Audio(samples, rate):
                return segment.ordinal, samples.dtype, samples.tobytes(), rate, segment.span
            case text:
                return segment.ordinal, text, segment.span

    return [plain(s) for s in found] == [plain(s) for s in wanted]


def ended(pid: int) -> bool:
    """Whether a process runs no more. Who reaps an orphan is not ours to say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(what: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()
