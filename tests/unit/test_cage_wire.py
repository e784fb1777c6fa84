"""What a child may answer: segments inside the limits, a fault of the file, or nonsense; its parent is not misled."""

from __future__ import annotations

import json
import os
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CorruptMedia, DecoderCrashed
from core.types import Audio, Image, Modality, Segment, Span, Text
from ingest.limits import Limits
from tests.cages import LIMITS, PARROT, ask, making, same, stub
from workers.cage import Cage, _as_file
from workers.cage_process import CageLimits, Process
from workers.cage_wire import Gone, Late, Nonsense, Shared, Wire, pack, unpack


@pytest.fixture
def cages() -> Iterator[Callable[..., Cage]]:
    with making() as make:
        yield make


def frame(said: Any) -> bytes:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    return len(raw).to_bytes(4, "little") + raw


ONE = {"ordinal": 0, "image": [2, 2]}
NONSENSE: dict[str, bytes] = {
    "long": (2**32 - 1).to_bytes(4, "little"),
    "no JSON": frame(b"\xff{"),
    "deep": frame(b"[" * 60_000),
    "a list": frame([1]),
    "empty": frame({}),
    "no segments": frame({"segments": [], "bytes": 0}),
    "too many segments": frame({"segments": [{"ordinal": i, "text": 0} for i in range(9)], "bytes": 0}),
    "too large an image": frame({"segments": [{"ordinal": 0, "image": [10**9, 10**9]}], "bytes": 3 * 10**18}),
    "a negative image": frame({"segments": [{"ordinal": 0, "image": [-2, -2]}], "bytes": 12}),
    "wrong length": frame({"segments": [ONE], "bytes": 11}),
    "more than there is": frame({"segments": [{"ordinal": 0, "audio": [2**60, 8000]}], "bytes": 2**62}),
    "out of order": frame({"segments": [{**ONE, "ordinal": 1}], "bytes": 12}),
    "a span backwards": frame({"segments": [{**ONE, "span": [2, 1, "char"]}], "bytes": 12}),
    "a span of nothing": frame({"segments": [{**ONE, "span": [0, float("nan"), "char"]}], "bytes": 12}),
    "another's fault": frame({"fault": "BlobsDown", "message": "believe me"}),
    "no fault": frame({"fault": "Asset", "message": ""}),
    "a message that is none": frame({"fault": "CorruptMedia", "message": [1]}),
}


GOOD = frame({"segments": [ONE], "bytes": 12})
SMALL = Limits(segments=8, pixels=1000)


@pytest.mark.parametrize("answer", ["long", "wrong length"])
def test_a_child_that_answers_nonsense_is_killed_and_the_file_refused(cages, answer):
    cage = cages(stub(PARROT))
    assert len(ask(cage, GOOD, limits=SMALL)) == 1
    (before,) = cage._running
    with pytest.raises(DecoderCrashed, match="nonsense"):
        ask(cage, NONSENSE[answer], limits=SMALL)
    assert not before.alive
    assert not cage._running
    assert len(ask(cage, GOOD, limits=SMALL)) == 1


def test_nonsense_is_seen_before_anything_is_allocated():
    child = Process(stub(PARROT), CageLimits())
    try:
        tracemalloc.start()
        # A message without an end is last: nothing can be read behind it.
        for name, answer in sorted(NONSENSE.items(), key=lambda named: named[0] == "long"):
            with _as_file(answer) as fd, pytest.raises(DecoderCrashed, match="nonsense"):
                list(child.serve({}, fd, SMALL))
            assert not child.usable, name
            assert tracemalloc.get_traced_memory()[1] < 1 << 20, name
    finally:
        tracemalloc.stop()
        child.end()


def test_a_child_that_says_too_much_spoils_no_other_answer(cages):
    cage = cages(stub(PARROT))
    with pytest.raises(CorruptMedia, match="first"):
        ask(cage, frame({"fault": "CorruptMedia", "message": "first"}) + b"\xff\xff\xff\xff and more")
    assert ask(cage, GOOD)[0].content.modality is Modality.IMAGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["char", "second", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["span", "text"]), inner),
    max_leaves=6,
)
HEADS = st.fixed_dictionaries(
    {"ordinal": st.integers(-1, 2) | JSON},
    optional={
        "text": st.integers(-1, 20) | JSON,
        "image": st.lists(st.integers(-1, 5) | JSON, max_size=3) | JSON,
        "audio": st.lists(st.integers(-1, 5) | JSON, max_size=3) | JSON,
        "span": JSON | st.tuples(st.floats() | st.integers(), st.floats() | st.integers(), st.just("char")).map(list),
    },
)


@given(
    st.fixed_dictionaries({}, optional={"segments": st.lists(HEADS, max_size=3) | JSON, "bytes": st.integers(0, 60)})
)
def test_any_answer_is_segments_inside_the_limits_or_nonsense(answer):
    fd = os.memfd_create("test")
    os.write(fd, bytes(range(100, 200)))
    try:
        with suppress(Nonsense):
            found = unpack(answer, fd, limits=Limits(pixels=12, text_chars=5, segments=2), most=100)
            assert 0 < len(found) <= 2
            assert [segment.ordinal for segment in found] == list(range(len(found)))
    finally:
        os.close(fd)


def test_every_kind_of_content_crosses_whole():
    segments = [
        Segment(0, Text("a 井 \U0001f600"), Span(0, 5, "char")),
        Segment(1, Audio(np.linspace(-1, 1, 7, dtype=np.float32), 16_000), Span(0.25, 0.5, "second")),
        Segment(2, Image(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1])),
        Segment(3, Text("")),
        Segment(4, Audio(np.zeros(0, np.float32), 8_000)),
    ]
    fd = os.memfd_create("test")
    try:
        os.ftruncate(fd, 1000)
        answer = json.loads(json.dumps(pack(segments, Shared(fd))))
        assert same(unpack(answer, fd, limits=LIMITS, most=1000), segments)
        with pytest.raises(MemoryError):
            pack([Segment(0, Text("x" * 1001))], Shared(fd))
        with pytest.raises(Nonsense, match="fewer"):
            unpack({"segments": [{"ordinal": 0, "text": 2000}], "bytes": 2000}, fd, limits=LIMITS, most=10_000)
    finally:
        os.close(fd)


@given(st.binary(max_size=30))
def test_any_bytes_are_a_message_or_refused(raw):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours)
        wire.deadline = time.monotonic() + 10
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        with suppress(Nonsense, Gone):
            assert isinstance(wire.receive(), dict)


def test_a_silent_side_is_late():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours)
        wire.deadline = time.monotonic() + 0.05
        with pytest.raises(Late):
            wire.receive()
        with pytest.raises(Late):
            wire.send({})
