"""The VectorStore port, over every implementation: what one promises, each keeps."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from core.errors import BadPoint, Conflict, ModelMismatch, NoSuchCollection
from core.fields import FieldType
from core.points import Column, Points, payload, point_id
from core.records import IndexState
from core.spaces import Sparse
from core.types import AssetId, Segment, Span, Text
from tests.contract.vector_stores import DOTS, QUIET, TERMS, WORDS, T, found, make_index, near, put
from tests.strategies import FIELDS, make_asset, make_points, make_space, sparse, unit

pytestmark = QUIET


def test_writing_twice_is_writing_once(store, index):
    for _ in range(2):
        put(store, index, 1, 2)
    assert store.count(index, T) == 2


def test_a_rewrite_replaces_vectors_and_payload_whole(store, index):
    asset = make_asset(metadata={"a_keyword": "old", "b_keyword": "gone"})
    store.upsert(index, make_points([asset], {WORDS: [unit(1, 0, 0, 0)], TERMS: [sparse(i1=1)]}))
    asset = replace(asset, metadata={"a_keyword": "new"}, generation=2)
    store.upsert(index, make_points([asset], {WORDS: [unit(0, 1, 0, 0)]}))
    (held,) = store.of_assets(index, [asset.id])
    assert held.payload["metadata"] == {"a_keyword": "new"}
    assert set(held.vectors) == {WORDS.vector_name}
    assert found(store, index, near(TERMS, sparse(i1=1))) == []


def test_an_older_generation_never_overwrites_a_newer_one(store, index):
    new, old, other = make_asset(generation=3), make_asset(generation=2), make_asset(number=2, generation=1)
    store.upsert(index, make_points([new], {WORDS: [unit(1, 0, 0, 0)]}))
    store.upsert(index, make_points([old, other], {WORDS: [unit(0, 1, 0, 0)] * 2}))
    (held,) = store.of_assets(index, [new.id])
    assert held.payload["generation"] == 3
    assert held.vectors[WORDS.vector_name].tolist() == [1, 0, 0, 0]
    assert store.count(index, T) == 2


def test_the_newest_generation_of_one_batch_stays(store, index):
    points = make_points([make_asset(generation=g) for g in (2, 3, 1)], {WORDS: [unit(1, 0, 0, 0)] * 3})
    store.upsert(index, points)
    (held,) = store.of_assets(index, [make_asset().id])
    assert held.payload["generation"] == 3


def test_forgetting_takes_older_generations_or_all(store, index):
    put(store, index, 1, 2, generation=1)
    put(store, index, 3, 4, generation=2)
    store.forget(index, {AssetId(UUID(int=n)): 2 for n in (1, 3)} | {AssetId(UUID(int=4)): None})
    store.forget(index, {AssetId(UUID(int=99)): None})
    store.forget(index, {})
    assert sorted(found(store, index, near())) == [2, 3]


def test_points_of_an_asset_come_back_with_their_vectors_by_ordinal(store, index):
    asset = make_asset()
    order = [3, 0, 10, 2]
    rows = np.asarray([unit(1, n, 0, 0) for n in order])
    points = Points(
        ids=[point_id(asset, n) for n in order],
        payloads=[payload(asset, Segment(n, Text("x"), Span(n, n + 1, "char")), FIELDS) for n in order],
        columns={WORDS: Column(range(4), rows), TERMS: Column([1], [sparse(i1=0.5, i7=-2)])},
    )
    store.upsert(index, points)
    put(store, index, 2)
    held = store.of_assets(index, [asset.id])
    assert [point.payload["ordinal"] for point in held] == sorted(order)
    for point in held:
        vector = point.vectors[WORDS.vector_name]
        assert isinstance(vector, np.ndarray)
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, rows[order.index(point.payload["ordinal"])], atol=1e-6)
    terms = held[0].vectors[TERMS.vector_name]
    assert isinstance(terms, Sparse)
    assert terms.indices.dtype == np.uint32
    assert (terms.indices.tolist(), terms.values.tolist()) == ([1, 7], [0.5, -2])


def test_scrolling_sees_every_point_of_every_tenant_once_by_growing_id(store, index):
    put(store, index, *range(1, 8), tenant="t")
    put(store, index, *range(8, 15), tenant="u", blocked=True)
    seen: list[UUID] = []
    while page := store.scroll(index, after=seen[-1] if seen else None, limit=4):
        assert all(not point.vectors and point.payload["generation"] == 1 for point in page)
        seen += [point.id for point in page]
        assert len(seen) <= 14  # and not for ever
    assert seen == sorted(seen)
    assert len(set(seen)) == 14
    assert store.scroll(index, after=UUID(int=2**128 - 1)) == []


def test_creating_again_is_harmless_and_never_changes_what_an_index_is(store, index):
    put(store, index, 1)
    store.create(index)
    store.create(replace(index, state=IndexState.SERVING))
    assert store.count(index, T) == 1
    with pytest.raises(ModelMismatch, match="reindex"):
        store.create(replace(index, spaces=(replace(WORDS, revision="r2"), DOTS, TERMS)))
    with pytest.raises(Conflict, match="another id"):
        store.create(replace(index, fields={"price": FieldType.FLOAT}))


def test_indexes_are_listed_and_dropped(store):
    one, two = make_index(id="b 1/ü"), make_index(id="a.index")
    store.create(one)
    store.create(two)
    assert store.indexes() == ["a.index", "b 1/ü"]
    put(store, one, 1)
    store.drop(one.id)
    store.drop(one.id)
    assert store.indexes() == ["a.index"]
    store.create(one)
    assert store.count(one, T) == 0


def test_an_index_that_is_not_there_is_named(store):
    index = make_index(id="nowhere")
    for call in (
        lambda: put(store, index, 1),
        lambda: store.flush(index),
        lambda: store.forget(index, {AssetId(UUID(int=1)): None}),
        lambda: store.search(index, [near()]),
        lambda: store.count(index, T),
        lambda: store.of_assets(index, [AssetId(UUID(int=1))]),
        lambda: store.scroll(index),
    ):
        with pytest.raises(NoSuchCollection, match="nowhere"):
            call()


NAN = np.asarray([1, np.nan, 0, 0], np.float32)


@pytest.mark.parametrize(
    ("space", "vectors"),
    [
        (WORDS, np.ones((1, 3), np.float32) / np.sqrt(np.float32(3))),
        (WORDS, NAN[None]),
        (WORDS, np.zeros((1, 4), np.float32)),
        (WORDS, np.full((1, 4), 2, np.float32)),
        (WORDS, np.asarray([[1, 0, 0, 0]], np.float64)),
        (DOTS, np.asarray([[np.inf, 0]], np.float32)),
        (TERMS, [Sparse(np.asarray([1, 2], np.uint32), np.asarray([1], np.float32))]),
        (TERMS, [Sparse(np.asarray([2, 1], np.uint32), np.asarray([1, 1], np.float32))]),
        (TERMS, [Sparse(np.asarray([1, 1], np.uint32), np.asarray([1, 1], np.float32))]),
        (TERMS, [Sparse(np.asarray([1000], np.uint32), np.asarray([1], np.float32))]),
        (TERMS, [Sparse(np.asarray([1], np.uint32), np.asarray([np.nan], np.float32))]),
        (TERMS, np.ones((1, 4), np.float32)),
        (make_space("unknown"), unit(1, 0, 0, 0)[None]),
    ],
)
def test_a_malformed_point_is_refused_and_nothing_of_its_batch_is_written(store, index, space, vectors):
    good = make_points([make_asset(number=1), make_asset(number=2)], {})
    with pytest.raises(BadPoint):
        store.upsert(index, replace(good, columns={space: Column([0], vectors)}))
    assert store.scroll(index) == []
    put(store, index, 3)
    assert found(store, index, near()) == [3]


@pytest.mark.parametrize("vector", [NAN, unit(1, 0, 0), unit(1, 0, 0, 0)[None], sparse(i1=1)])
def test_a_malformed_query_is_refused(store, index, vector):
    with pytest.raises(BadPoint):
        store.search(index, [near(vector=vector)])


def test_closing_twice_is_harmless(store):
    store.close()
    store.close()
