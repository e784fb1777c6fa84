"""What Qdrant Edge 0.9.0 was measured to do and our guards rest on: when an upgrade changes one, a test says which.

A test that fails here is news, not a defect: read docs/decisions/0003-edge-guards.md and see whether the guard is
still needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as e

A, B = str(UUID(int=1)), str(UUID(int=2))


@pytest.fixture
def shard(tmp_path, monkeypatch) -> Iterator[e.EdgeShard]:
    monkeypatch.setenv("RUST_BACKTRACE", "0")
    config = e.EdgeConfig(
        vectors={"v": e.EdgeVectorParams(2, e.Distance.Cosine)},
        sparse_vectors={"s": e.EdgeSparseVectorParams()},
        wal_enabled=True,
    )
    shard = e.EdgeShard.create(str(tmp_path), config)
    yield shard
    shard.close()


def point(said: Any = (1.0, 0.0), name: str = "v", at: str = A, **payload: Any) -> e.Point:
    return e.Point(at, {name: list(said) if isinstance(said, tuple) else said}, payload)


def upsert(shard: e.EdgeShard, *points: e.Point, when: e.Filter | None = None) -> None:
    shard.update(e.UpdateOperation.upsert_points(list(points), when))


def count(shard: e.EdgeShard, *must: Any) -> int:
    return shard.count(e.CountRequest(exact=True, filter=e.Filter(must=list(must))))


def raised(call: Callable[[], object]) -> BaseException:
    """What is raised, panics too."""
    with pytest.raises(BaseException) as caught:
        call()
    return caught.value


def is_panic(exc: BaseException) -> bool:
    return type(exc).__name__ == "PanicException" and not isinstance(exc, Exception)


def test_a_python_bool_matches_nothing_and_a_numpy_one_matches(shard):
    upsert(shard, point(yes=True))
    assert count(shard, e.FieldCondition("yes", match=e.MatchValue(True))) == 0
    assert count(shard, e.FieldCondition("yes", match=e.MatchValue(np.bool_(True)))) == 1  # type: ignore[arg-type]  # the stub knows no numpy


@pytest.mark.parametrize("vector", [(np.nan, 0.0), (np.inf, 0.0), (0.0, 0.0)])
def test_a_vector_that_cannot_be_compared_is_accepted_in_silence(shard, vector):
    upsert(shard, point(vector))
    assert count(shard) == 1


def test_errors_have_no_classes_but_words(shard):
    def query(vector: list[float], name: str) -> Callable[[], object]:
        return lambda: shard.query(e.QueryRequest(limit=1, query=e.Query.Nearest(vector, name)))

    dimension, unknown = raised(query([1.0], "v")), raised(query([1.0, 0.0], "nope"))
    assert type(dimension) is type(unknown) is Exception
    assert "Vector dimension" in str(dimension)
    assert "Not existing vector name" in str(unknown)


def test_a_batch_that_fails_is_partly_written(shard):
    """In an order of its own: five batches, since a bad point that happens to come first stops all of one."""
    for batch in range(5):
        points = [point(at=str(UUID(int=100 * batch + n))) for n in range(1, 21)]
        raised(partial(upsert, shard, *points, point((1.0, 0.0, 0.0), at=B)))
    assert 0 < count(shard) < 100


def test_a_ragged_sparse_vector_bricks_the_log_and_moving_the_log_away_brings_the_shard_back(shard, tmp_path):
    upsert(shard, point(at=A))
    shard.flush()
    ragged = point(e.SparseVector([1, 2], [1.0]), "s", at=B)
    assert is_panic(raised(lambda: upsert(shard, ragged)))
    shard.close()
    assert is_panic(raised(lambda: e.EdgeShard.load(str(tmp_path))))
    shutil.rmtree(tmp_path / "wal")
    recovered = e.EdgeShard.load(str(tmp_path))
    assert count(recovered) == 1
    recovered.close()


def test_a_second_opener_is_refused_by_the_log_and_by_nothing_else(shard, tmp_path):
    assert "WouldBlock" in str(raised(lambda: e.EdgeShard.load(str(tmp_path))))
    unlogged = e.EdgeConfig(vectors={"v": e.EdgeVectorParams(2, e.Distance.Cosine)}, wal_enabled=False)
    folder = str(tmp_path / "unlogged")
    first = e.EdgeShard.create(folder, unlogged)
    second = e.EdgeShard.load(folder)  # the reason for a lock of our own
    upsert(second, point())
    first.close()
    second.close()


def test_a_conditional_upsert_inserts_and_spares_what_does_not_match(shard):
    def write(generation: int, *ids: str) -> None:
        replaceable = e.FieldCondition("generation", range=e.RangeFloat(lte=float(generation)))
        upsert(shard, *(point(at=at, generation=generation) for at in ids), when=e.Filter(must=[replaceable]))

    write(2, A)
    write(1, A, B)
    held = {str(r.id): (r.payload or {})["generation"] for r in shard.retrieve([A, B], True, False)}
    assert held == {A: 2, B: 1}


def test_an_upsert_replaces_the_whole_point(shard):
    upsert(shard, point(old=1))
    upsert(shard, point(e.SparseVector([1], [1.0]), "s", new=1))
    (record,) = shard.retrieve([A], True, True)
    assert record.payload == {"new": 1}
    assert isinstance(record.vector, dict)
    assert list(record.vector) == ["s"]


def test_a_scroll_starts_with_its_offset_and_grows_by_id(shard):
    upsert(shard, point(at=B), point(at=A))
    records, after = shard.scroll(e.ScrollRequest(limit=1))
    assert [str(r.id) for r in records] == [A]
    assert str(after) == B
    assert [str(r.id) for r in shard.scroll(e.ScrollRequest(offset=after))[0]] == [B]


def test_boxes_and_circles_are_open(shard):
    upsert(shard, point(at_={"lat": 10.0, "lon": 20.0}))
    corner = e.GeoPoint(lon=20.0, lat=10.0)
    assert count(shard, e.FieldCondition("at_", geo_bounding_box=e.GeoBoundingBox(corner, corner))) == 0
    assert count(shard, e.FieldCondition("at_", geo_radius=e.GeoRadius(corner, 0.0))) == 0
    assert count(shard, e.FieldCondition("at_", geo_radius=e.GeoRadius(corner, 5e-324))) == 1


def test_an_empty_filter_is_true_and_no_ids_are_none(shard):
    upsert(shard, point())
    assert count(shard, e.Filter()) == count(shard, e.Filter(must=[])) == count(shard, e.Filter(should=[])) == 1
    assert count(shard, e.HasIdCondition(set())) == 0


def test_a_shard_may_be_copied_and_opened_elsewhere(shard, tmp_path):
    upsert(shard, point())
    shard.flush()
    copied = Path(shutil.copytree(tmp_path, tmp_path.with_name("copied")))
    other = e.EdgeShard.load(str(copied))
    assert count(other) == 1
    other.close()


def test_a_shard_that_was_closed_says_so(shard):
    shard.close()
    assert "not initialized" in str(raised(lambda: count(shard)))
