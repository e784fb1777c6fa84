"""What a cage and its children say to each other: JSON over a socket, with pixels beside it in shared memory.

Nothing that runs when it is read, and nothing mapped in the parent, so that a child cannot pull it away meanwhile.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.types import Audio, Content, Image, Segment, Span, Text
from ingest.limits import Limits

KEPT = 16 << 20  # bytes of shared memory that outlive an answer
HEAD = 1 << 16  # bytes of JSON that any message may have, besides its segments
_A_SEGMENT = 256  # bytes of JSON that a segment may have
_LENGTH = struct.Struct("<I")
_A_NAME = 16  # characters that the name of a language has at most
_CHANNELS = 3
_FARTHEST = 2**53  # that a span may end at: beyond, floats skip integers

Message = dict[str, Any]
GO_ON: Message = {"go": "on"}  # the next piece


class Nonsense(Exception):
    """The other side said what it never says."""


class Gone(Exception):
    """The other side hung up."""


class Late(Exception):
    """The other side did not answer in time."""


class Wire:
    """One end of a socket. Raises Nonsense, Gone, and Late once `deadline` (of time.monotonic) is over."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = math.inf

    def send(self, message: Message, *, fd: int | None = None) -> None:
        """A message, and an open file that arrives with it."""
        said = json.dumps(message).encode()
        head = _LENGTH.pack(len(said)) + said
        try:
            self._wait()
            sent = socket.send_fds(self.sock, [head], [] if fd is None else [fd])
            self._wait()
            self.sock.sendall(memoryview(head)[sent:])
        except TimeoutError as exc:
            raise Late from exc
        except OSError as exc:
            raise Gone from exc

    def receive(self, *, most: int = HEAD) -> Message:
        """A message of at most that many bytes of JSON."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return self._message(length, most)

    def receive_with_fd(self) -> tuple[Message, int]:
        """A message, and the open file that came with it."""
        head, fds, _, _ = socket.recv_fds(self.sock, _LENGTH.size, 1)
        if not head:
            raise Gone
        head += self._read(_LENGTH.size - len(head))
        if not fds:
            raise Nonsense("a message without its file")
        return self._message(_LENGTH.unpack(head)[0], HEAD), fds[0]

    def _read(self, size: int) -> bytes:
        out = bytearray(size)
        view, at = memoryview(out), 0
        try:
            while at < size:
                self._wait()
                got = self.sock.recv_into(view[at:])
                if not got:
                    raise Gone
                at += got
        except TimeoutError as exc:
            raise Late from exc
        except OSError as exc:
            raise Gone from exc
        return bytes(out)

    def _wait(self) -> None:
        if self.deadline < math.inf:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Late
            self.sock.settimeout(left)

    def _message(self, length: int, most: int) -> Message:
        if length > most:
            raise Nonsense(f"a message of {length:,} bytes")
        try:
            message = json.loads(self._read(length))
        except (ValueError, RecursionError) as exc:
            raise Nonsense("a message that is not JSON") from exc
        if not isinstance(message, dict):
            raise Nonsense("a message that is not an object")
        return message


class Shared:
    """A child's side of the shared memory: mapped, because a child may write no file, which a file in memory is one of.

    The beginning stays mapped: faulting its pages in for every answer would cost more than filling them.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._size = fd, os.fstat(fd).st_size
        self._area = mmap.mmap(fd, min(KEPT, self._size))

    def write(self, parts: Sequence[bytes | memoryview]) -> int:
        """Write these one after the other; how many bytes that is. Raises MemoryError when they do not fit."""
        sizes = [memoryview(part).nbytes for part in parts]
        total, at = sum(sizes), 0
        if total > self._size:
            raise MemoryError
        with nullcontext(self._area) if total <= len(self._area) else mmap.mmap(self._fd, total) as area:
            for part, size in zip(parts, sizes, strict=True):
                area[at : at + size] = part
                at += size
        return total


def longest(limits: Limits) -> int:
    """Bytes of JSON that an answer may have."""
    return HEAD + _A_SEGMENT * limits.segments


def pack(segments: Sequence[Segment], shared: Shared) -> Message:
    """Segments as an answer, their bytes written one after the other into shared memory."""
    heads: list[Message] = []
    parts: list[bytes | memoryview] = []
    for segment in segments:
        head: Message = {"ordinal": segment.ordinal}
        match segment.content:
            case Text(value, language):
                head["language"] = language
                part: bytes | memoryview = value.encode()
                head["text"] = len(part)
            case Image(pixels):
                part = np.ascontiguousarray(pixels, np.uint8).data
                head["image"] = pixels.shape[:2]
            case Audio(samples, rate):
                part = np.ascontiguousarray(samples, np.float32).data
                head["audio"] = (len(samples), rate)
        if segment.span is not None:
            head["span"] = (segment.span.start, segment.span.end, segment.span.unit)
        heads.append(head)
        parts.append(part)
    return {"segments": heads, "bytes": shared.write(parts)}


def unpack(answer: Message, shared: int, *, limits: Limits, most: int, start: int = 0) -> list[Segment]:
    """The segments of an answer, their bytes copied out of shared memory; their ordinals count from `start`.

    Nothing is allocated before the sizes that are claimed are known to agree and to be inside the limits:
    `limits.pixels` an image, `limits.text_chars` a text, `most` bytes together. Raises Nonsense.
    """
    heads = answer.get("segments")
    if not isinstance(heads, list) or not start < start + len(heads) <= limits.segments:
        raise Nonsense("no list of segments, or one over its limit")
    plans = [_plan(head, at, limits) for at, head in enumerate(heads, start)]
    total = sum(size for _, _, size, _ in plans)
    if total != answer.get("bytes") or total > most:
        raise Nonsense("sizes that do not agree, or are more than a child can hold")
    out: list[Segment] = []
    offset = 0
    for ordinal, (kind, numbers, size, span) in enumerate(plans, start):
        content = _content(kind, numbers, _copied(shared, offset, size), _language(heads[ordinal - start]))
        out.append(Segment(ordinal, content, span))
        offset += size
    return out


_Plan = tuple[str, tuple[int, ...], int, Span | None]  # kind, its numbers, bytes, span


def _plan(head: Any, ordinal: int, limits: Limits) -> _Plan:
    match head:
        case {"ordinal": int(at), "text": int(size)} if at == ordinal and 0 <= size <= 4 * limits.text_chars:
            return "text", (), size, _span(head)
        case {"ordinal": int(at), "image": [int(height), int(width)]} if at == ordinal and min(height, width) > 0:
            if height * width <= limits.pixels:
                return "image", (int(height), int(width)), height * width * _CHANNELS, _span(head)
        case {"ordinal": int(at), "audio": [int(count), int(rate)]} if at == ordinal and count >= 0 and rate > 0:
            return "audio", (count, rate), count * np.dtype(np.float32).itemsize, _span(head)
    raise Nonsense("a segment that is none, is out of order or is over a limit")


def _span(head: Message) -> Span | None:
    match head.get("span"):
        case None:
            return None
        case [int() | float() as start, int() | float() as end, "char" | "second" as unit] if 0 <= start <= end:
            if end <= _FARTHEST:
                return Span(start, end, unit)
    raise Nonsense("a span that is none")


def _copied(shared: int, offset: int, size: int) -> NDArray[np.uint8]:
    raw = np.empty(size, np.uint8)
    at = 0
    while at < size:
        got = os.preadv(shared, [raw.data[at:]], offset + at)
        if not got:
            raise Nonsense("fewer bytes than announced")
        at += got
    return raw


def _language(head: Message) -> str:
    said = head.get("language", "")
    if not isinstance(said, str) or len(said) > _A_NAME:
        raise Nonsense("a language that is none")
    return said


def _content(kind: str, numbers: tuple[int, ...], raw: NDArray[np.uint8], language: str) -> Content:
    match kind:
        case "text":
            try:
                return Text(raw.tobytes().decode(), language)
            except UnicodeDecodeError as exc:
                raise Nonsense("a text that is not UTF-8") from exc
        case "image":
            return Image(raw.reshape(*numbers, _CHANNELS))
        case _:
            return Audio(raw.view(np.float32), numbers[1])
