"""What crosses the store's socket is what was said, and nothing else is taken for it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from core import errors
from core.errors import BadPoint, Defect, Fault, Misconfigured, StoreDown, TooLarge
from core.filters import Range
from core.points import Column, Found, Nearest, Points, Scope, Stored
from core.records import Index, IndexState, Quantization, Storage
from core.spaces import EmbeddingSpace, Metric, Sparse
from core.stores import calls, frames, wire
from core.types import AssetId, Modality, Tenant
from tests.strategies import FIELDS, filters, make_space, metadata, texts

DENSE = make_space("words", 3)
TERMS = make_space("terms", 2**32, metric=Metric.DOT, sparse=True)

single = st.floats(width=32, allow_nan=False, allow_infinity=False)
uuids = st.uuids()
assets = st.frozensets(uuids.map(AssetId), max_size=3)
payloads = metadata().map(lambda said: {"metadata": said, "generation": 1, "at": [0.5, 2, "char"], "none": None})
spaces = st.builds(
    EmbeddingSpace,
    name=texts,
    model=texts,
    revision=texts,
    dim=st.integers(1, 2**32),
    metric=st.sampled_from(Metric),
    modalities=st.frozensets(st.sampled_from(Modality)),
    recipe=texts,
    head=texts,
    sparse=st.booleans(),
)
scopes = st.builds(
    Scope,
    tenant=texts.map(Tenant),
    modalities=st.frozensets(st.sampled_from(Modality)),
    assets=st.none() | assets,
    without=assets,
    blocked=st.booleans(),
)
indexes = st.builds(
    Index,
    id=texts,
    collection=texts,
    state=st.sampled_from(IndexState),
    spaces=st.lists(spaces, max_size=3).map(tuple),
    fields=st.just(FIELDS),
    storage=st.builds(
        Storage,
        quantization=st.sampled_from(Quantization),
        m=st.integers(4, 128),
        ef_construct=st.integers(128, 4096),
        on_disk=st.booleans(),
    ),
)
dense = nps.arrays(np.float32, 3, elements=single)


@st.composite
def sparse(draw: st.DrawFn) -> Sparse:
    at = sorted(draw(st.sets(st.integers(0, 2**32 - 1), max_size=4)))
    held = draw(st.lists(single, min_size=len(at), max_size=len(at)))
    return Sparse(np.asarray(at, np.uint32), np.asarray(held, np.float32))


@st.composite
def points(draw: st.DrawFn) -> Points:
    n = draw(st.integers(0, 3))
    rows = sorted(draw(st.sets(st.integers(0, n - 1)))) if n else []
    columns = {
        DENSE: Column(range(n), draw(nps.arrays(np.float32, (n, 3), elements=single))),
        TERMS: Column(rows, [draw(sparse()) for _ in rows]),
    }
    return Points(
        ids=draw(st.lists(uuids, min_size=n, max_size=n)),
        payloads=draw(st.lists(payloads, min_size=n, max_size=n)),
        columns=columns,
    )


def crossed(value: Any) -> Any:
    """A value after the socket."""
    here, there = socket.socketpair()
    with here, there:
        here.sendall(frames.frame(value))
        return frames.receive(there)


def same_vector(one: Any, other: Any) -> bool:
    if isinstance(one, Sparse):
        return same_vector(one.indices, other.indices) and same_vector(one.values, other.values)
    return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())


@given(spaces)
def test_a_space_crosses_whole(space):
    assert wire.space_from(crossed(wire.space_to(space))) == space


@given(indexes)
def test_an_index_crosses_whole(index):
    assert wire.index_from(crossed(wire.index_to(index))) == index


@given(scopes)
def test_a_scope_crosses_whole(scope):
    assert wire.scope_from(crossed(wire.scope_to(scope))) == scope


@given(st.none() | filters())
def test_a_filter_crosses_whole_with_the_types_of_its_values(where):
    came = wire.filter_from(crossed(wire.filter_to(where)))
    assert came == where
    assert repr(came).replace("datetime.timezone.utc", "UTC") == repr(where).replace("datetime.timezone.utc", "UTC")


@pytest.mark.parametrize(
    "bound",
    [datetime(2026, 1, 1, 1, 2, 3, 4, timezone(timedelta(hours=-3, minutes=30))), datetime.max.replace(tzinfo=UTC)],
)
def test_a_moment_crosses_with_its_offset(bound):
    came = wire.filter_from(crossed(wire.filter_to(Range("a_datetime", gt=bound))))
    assert isinstance(came, Range)
    assert came.gt == bound
    assert isinstance(came.gt, datetime)
    assert came.gt.utcoffset() == bound.utcoffset()


def test_a_bound_beyond_64_bits_crosses_as_the_float_it_compares_as():
    assert wire.filter_from(crossed(wire.filter_to(Range("a_integer", lt=10**30)))) == Range("a_integer", lt=1e30)


@given(points())
def test_points_cross_whole(said):
    came = wire.points_from(crossed(wire.points_to(said)))
    assert (came.ids, came.payloads) == (said.ids, said.payloads)
    assert list(came.columns) == list(said.columns)
    for space, column in said.columns.items():
        assert list(came.columns[space].rows) == list(column.rows)
        assert len(came.columns[space].vectors) == len(column.vectors)
        assert all(map(same_vector, column.vectors, came.columns[space].vectors))


@given(
    st.sampled_from([DENSE, TERMS]),
    dense | sparse(),
    scopes,
    st.none() | filters(),
    st.integers(0, 2**31),
    st.booleans(),
    st.none() | st.integers(1, 4096),
    st.booleans(),
    st.none() | st.frozensets(texts, max_size=3),
)
def test_a_query_crosses_whole(space, vector, scope, where, limit, exact, ef, acorn, payload):
    how = {"limit": limit, "exact": exact, "ef": ef, "acorn": acorn, "payload": payload}
    said = Nearest(space=space, vector=vector, scope=scope, where=where, **how)
    came = wire.nearest_from(crossed(wire.nearest_to(said)))
    assert same_vector(vector, came.vector)
    assert (came.space, came.scope, came.where) == (space, scope, where)
    assert {name: getattr(came, name) for name in how} == how


@given(st.lists(st.builds(Found, uuids, st.floats(allow_nan=False), payloads), max_size=3))
def test_what_was_found_crosses_whole(hits):
    assert wire.found_from(crossed(wire.found_to(hits))) == hits


@given(st.builds(Stored, uuids, payloads, st.dictionaries(texts, dense | sparse(), max_size=2)))
def test_a_stored_point_crosses_whole(point):
    came = wire.stored_from(crossed(wire.stored_to(point)))
    assert (came.id, came.payload, set(came.vectors)) == (point.id, point.payload, set(point.vectors))
    assert all(same_vector(vector, came.vectors[name]) for name, vector in point.vectors.items())


def _faults(kind: type[Fault]) -> list[type[Fault]]:
    return [kind, *(one for below in kind.__subclasses__() for one in _faults(below))]


@pytest.mark.parametrize("kind", _faults(Fault))
def test_a_fault_crosses_as_itself(kind):
    came = frames.fault_from(crossed(frames.fault_to(kind("why"))))
    assert type(came) is (kind if kind.__module__ == errors.__name__ else Defect)
    assert "why" in str(came)


def test_a_fault_of_another_release_is_a_defect_that_names_it():
    came = frames.fault_from({"fault": "NewFault", "message": "why"})
    assert type(came) is Defect
    assert str(came) == "NewFault: why"


def test_another_version_is_refused_by_saying_both():
    with pytest.raises(Misconfigured, match=rf"version 99 .* version {frames.VERSION}: run the same release"):
        frames.check_hello(frames.hello() | {"version": 99})
    with pytest.raises(StoreDown, match="closing"):
        frames.check_hello(frames.hello() | frames.fault_to(StoreDown("closing")))


@pytest.mark.parametrize("value", [{"x": object()}, {"x": 2**70}, {"x": "\ud800"}])
def test_a_value_that_cannot_be_sent_is_refused(value):
    with pytest.raises(BadPoint, match="cannot be sent"):
        frames.frame(value)


def test_a_frame_over_the_limit_is_neither_sent_nor_believed(monkeypatch):
    monkeypatch.setattr(frames, "LIMIT", 100)
    with pytest.raises(TooLarge, match="smaller parts"):
        frames.frame(b"x" * 200)
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(Defect, match="claims 4,294,967,295 bytes"):
            frames.receive(there)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
parts = ("index", "id", "points", "assets", "below", "queries", "scope", "where", "asset", "limit", "after")


@given(st.sampled_from(list(calls._CALLS)), st.fixed_dictionaries({}, optional=dict.fromkeys(parts, json)))
def test_a_call_that_is_none_is_a_defect_and_nothing_else(name, said):
    try:
        calls.read(crossed({"call": name, **said}))
    except Defect as fault:
        assert "malformed frame" in str(fault)  # noqa: PT017  # a call that happens to be one may be read


@given(st.binary(max_size=64))
def test_bytes_that_are_no_frame_are_a_defect_and_nothing_else(body):
    here, there = socket.socketpair()
    with here, there:
        here.sendall(len(body).to_bytes(4, "little") + body)
        try:
            calls.read(frames.receive(there))
        except Defect as fault:
            assert "malformed frame" in str(fault)  # noqa: PT017  # the same


def test_ragged_sparse_vectors_do_not_cross():
    said = wire.vectors_to([Sparse(np.asarray([1, 2], np.uint32), np.asarray([1, 2], np.float32))])
    for wrong in ({"at": b""}, {"f4": b""}, {"ends": b""}, {"ends": np.asarray([3], "<u8").tobytes()}):
        with pytest.raises(ValueError, match="ragged"):
            wire.vectors_from(said | wrong)


def test_a_deep_filter_is_refused_without_harm():
    where: dict[str, Any] = {"is": "Exists", "field": "x"}
    for _ in range(5000):
        where = {"is": "Not", "part": where}
    with pytest.raises(Defect, match="malformed"), frames.reading():
        wire.filter_from(where)


def test_a_scope_without_its_limits_is_none():
    said = wire.scope_to(Scope(tenant=Tenant("t")))
    for lacking in said:
        with pytest.raises((ValueError, KeyError)):
            wire.scope_from({name: value for name, value in said.items() if name != lacking})


def test_ids_cross_as_sixteen_bytes_each():
    ids = [UUID(int=1), UUID(int=2)]
    assert len(wire.ids_to(ids)) == 32
    assert wire.ids_from(wire.ids_to(ids)) == ids
