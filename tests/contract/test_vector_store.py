"""The VectorStore port, over every implementation: what one promises, each keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from core.errors import BadPoint, Conflict, ModelMismatch, NoSuchCollection
from core.fields import FieldType, normal_metadata
from core.filters import Eq, GeoBox, GeoRadius, Not, Range, check, matches
from core.points import Column, Nearest, Points, Scope, payload, point_id
from core.ports import VectorStore
from core.records import Index, IndexState
from core.spaces import Metric, Sparse
from core.stores.edge import EdgeStore
from core.stores.memory import MemoryStore
from core.stores.server import ServerStore, connect
from core.types import AssetId, Modality, Segment, Span, Tenant, Text
from tests.serving import ServedStore
from tests.strategies import FIELDS, filters, make_asset, make_points, make_space, metadata, sparse, unit

SERVER = os.environ.get("QUIVER_TEST_QDRANT") or os.environ.get("QDRANT_URL")  # read before conftest hides it
KINDS = ["memory", "edge", "process", "local", *(["server"] if SERVER else [])]

pytestmark = [  # qdrant-client's local mode says what it does without; a server has both
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
WORDS = make_space()
DOTS = make_space("dots", 2, metric=Metric.DOT)
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
T = Scope(tenant=Tenant("t"))
MOMENT = datetime(2026, 1, 1, 12, 0, 0, 1, UTC)


def open_store(kind: str, root: Path) -> VectorStore:
    match kind:
        case "memory":
            return MemoryStore()
        case "edge":
            return EdgeStore(root)
        case "process":
            return ServedStore(root)
        case "local":
            return ServerStore(QdrantClient(":memory:"))
        case _:
            assert SERVER is not None
            return connect(SERVER, os.environ.get("QDRANT_API_KEY"))


@pytest.fixture(params=KINDS)
def store(request, tmp_path) -> Iterator[VectorStore]:
    store = open_store(request.param, tmp_path / "store")
    yield store
    for index_id in store.indexes() if request.param == "server" else ():
        store.drop(index_id)
    store.close()


def make_index(**changes: Any) -> Index:
    said: dict[str, Any] = {
        "id": f"i-{uuid4().hex[:8]}",
        "collection": "c",
        "state": IndexState.BUILDING,
        "spaces": (WORDS, DOTS, TERMS),
        "fields": FIELDS,
    }
    return Index(**(said | changes))


@pytest.fixture
def index(store) -> Index:
    index = make_index()
    store.create(index)
    return index


def near(space=WORDS, vector=None, scope=T, **more: Any) -> Nearest:
    return Nearest(space=space, vector=unit(1, 0, 0, 0) if vector is None else vector, scope=scope, **more)


def found(store, index, query) -> list[int]:
    """The numbers of the assets that are found, best first."""
    return [UUID(hit.payload["asset"]).int for hit in store.search(index, [query])[0]]


def put(store, index, *numbers: int, vector=None, blocked=False, **asset: Any) -> None:
    vector = unit(1, 0, 0, 0) if vector is None else vector
    assets = [make_asset(number=n, **asset) for n in numbers]
    store.upsert(index, make_points(assets, {WORDS: [vector] * len(assets)}, blocked=blocked))


def test_what_is_written_is_found_best_first_with_its_payload_and_raw_score(store, index):
    assets = [make_asset(number=n, metadata={"a_keyword": f"k{n}"}) for n in (1, 2, 3)]
    store.upsert(index, make_points(assets, {WORDS: [unit(0, 1, 0, 0), unit(1, 0, 0, 0), unit(1, 1, 0, 0)]}))
    hits = store.search(index, [near()])[0]
    assert [hit.id for hit in hits] == [point_id(assets[n], 0) for n in (1, 2, 0)]
    assert [hit.score for hit in hits] == pytest.approx([1, 2**-0.5, 0], abs=1e-6)
    assert hits[0].payload == payload(assets[1], Segment(0, Text("words")), FIELDS)


def test_equal_scores_are_ordered_by_id(store, index):
    put(store, index, *range(1, 30))
    hits = store.search(index, [near(limit=50)])[0]
    assert [hit.id for hit in hits] == sorted(hit.id for hit in hits)
    assert len(hits) == 29


def test_no_more_is_found_than_was_asked_for(store, index):
    put(store, index, *range(1, 9))
    assert [len(store.search(index, [near(limit=n)])[0]) for n in (0, 1, 5, 100)] == [0, 1, 5, 8]


def test_a_batch_of_queries_is_answered_in_order(store, index):
    first, second = make_asset(number=1), make_asset(number=2)
    store.upsert(index, make_points([first, second], {WORDS: [unit(1, 0, 0, 0), unit(0, 1, 0, 0)]}))
    nothing = near(TERMS, Sparse(np.empty(0, np.uint32), np.empty(0, np.float32)))
    answers = store.search(index, [near(limit=1), nothing, near(vector=unit(0, 1, 0, 0), limit=1)])
    assert [[hit.id for hit in hits] for hits in answers] == [[point_id(first, 0)], [], [point_id(second, 0)]]
    assert store.search(index, []) == []


@pytest.mark.parametrize("exact", [True, False])
def test_scores_are_those_of_the_metric(store, index, exact):
    asset = make_asset()
    store.upsert(index, make_points([asset], {DOTS: [np.asarray([3, 4], np.float32)], TERMS: [sparse(i3=2, i9=0.5)]}))
    dot = near(DOTS, np.asarray([2, -1], np.float32), exact=exact)
    terms = near(TERMS, sparse(i9=4, i10=1), exact=exact)
    assert [hits[0].score for hits in store.search(index, [dot, terms])] == pytest.approx([2, 2])


def test_a_cosine_query_need_not_be_of_unit_length(store, index):
    put(store, index, 1)
    query = near(vector=np.asarray([3, 0, 4, 0], np.float32))
    assert store.search(index, [query])[0][0].score == pytest.approx(0.6)


def test_a_sparse_query_finds_only_points_that_share_a_term(store, index):
    assets = [make_asset(number=n) for n in (1, 2, 3)]
    nothing = Sparse(np.empty(0, np.uint32), np.empty(0, np.float32))
    store.upsert(index, make_points(assets, {TERMS: [sparse(i1=1), sparse(i2=1), nothing]}))
    assert found(store, index, near(TERMS, sparse(i1=1))) == [1]
    assert found(store, index, near(TERMS, sparse(i5=1))) == []
    assert found(store, index, near(TERMS, nothing)) == []


def test_a_point_without_a_vector_in_a_space_is_not_found_in_it_but_in_others(store, index):
    assets = [make_asset(number=1), make_asset(number=2)]
    columns: dict[Any, Any] = {WORDS: [unit(1, 0, 0, 0), None], DOTS: [None, unit(1, 0)]}
    store.upsert(index, make_points(assets, columns))
    assert found(store, index, near()) == [1]
    assert found(store, index, near(DOTS, unit(1, 0))) == [2]
    assert store.count(index, T) == 2


def test_writing_twice_is_writing_once(store, index):
    for _ in range(2):
        put(store, index, 1, 2)
    assert store.count(index, T) == 2


def test_a_rewrite_replaces_vectors_and_payload_whole(store, index):
    asset = make_asset(metadata={"a_keyword": "old", "b_keyword": "gone"})
    store.upsert(index, make_points([asset], {WORDS: [unit(1, 0, 0, 0)], TERMS: [sparse(i1=1)]}))
    asset = replace(asset, metadata={"a_keyword": "new"}, generation=2)
    store.upsert(index, make_points([asset], {WORDS: [unit(0, 1, 0, 0)]}))
    (held,) = store.of_asset(index, asset.id)
    assert held.payload["metadata"] == {"a_keyword": "new"}
    assert set(held.vectors) == {WORDS.vector_name}
    assert found(store, index, near(TERMS, sparse(i1=1))) == []


def test_an_older_generation_never_overwrites_a_newer_one(store, index):
    new, old, other = make_asset(generation=3), make_asset(generation=2), make_asset(number=2, generation=1)
    store.upsert(index, make_points([new], {WORDS: [unit(1, 0, 0, 0)]}))
    store.upsert(index, make_points([old, other], {WORDS: [unit(0, 1, 0, 0)] * 2}))
    (held,) = store.of_asset(index, new.id)
    assert held.payload["generation"] == 3
    assert held.vectors[WORDS.vector_name].tolist() == [1, 0, 0, 0]
    assert store.count(index, T) == 2


def test_the_newest_generation_of_one_batch_stays(store, index):
    points = make_points([make_asset(generation=g) for g in (2, 3, 1)], {WORDS: [unit(1, 0, 0, 0)] * 3})
    store.upsert(index, points)
    (held,) = store.of_asset(index, make_asset().id)
    assert held.payload["generation"] == 3


def test_forgetting_takes_older_generations_or_all(store, index):
    put(store, index, 1, 2, generation=1)
    put(store, index, 3, 4, generation=2)
    store.forget(index, {AssetId(UUID(int=n)): 2 for n in (1, 3)} | {AssetId(UUID(int=4)): None})
    store.forget(index, {AssetId(UUID(int=99)): None})
    store.forget(index, {})
    assert sorted(found(store, index, near())) == [2, 3]


def test_no_tenant_sees_another(store, index):
    put(store, index, 1, tenant="t")
    put(store, index, 2, tenant="u")
    for tenant, mine in (("t", [1]), ("u", [2]), ("T", []), ("", [])):
        scope = Scope(tenant=Tenant(tenant))
        assert found(store, index, near(scope=scope)) == mine
        assert store.count(index, scope) == len(mine)


def test_blocked_points_are_hidden_but_from_moderators(store, index):
    put(store, index, 1)
    put(store, index, 2, blocked=True)
    assert found(store, index, near()) == [1]
    assert store.count(index, T) == 1
    assert sorted(found(store, index, near(scope=replace(T, blocked=True)))) == [1, 2]


def test_a_scope_limits_to_modalities_and_assets(store, index):
    put(store, index, 1, 2, modality=Modality.TEXT)
    put(store, index, 3, modality=Modality.IMAGE)

    def seen(**scope: Any) -> list[int]:
        limited = replace(T, **scope)
        numbers = sorted(found(store, index, near(scope=limited)))
        assert store.count(index, limited) == len(numbers)
        return numbers

    a, b, c = (AssetId(UUID(int=n)) for n in (1, 2, 3))
    assert seen(modalities=frozenset({Modality.IMAGE})) == [3]
    assert seen(modalities=frozenset({Modality.IMAGE, Modality.TEXT})) == [1, 2, 3]
    assert seen(modalities=frozenset()) == []
    assert seen(assets=frozenset({a, c})) == [1, 3]
    assert seen(assets=frozenset()) == []
    assert seen(without=frozenset({a, b})) == [3]
    assert seen(assets=frozenset({a, b}), without=frozenset({a})) == [2]


def test_a_filter_narrows_search_and_count(store, index):
    put(store, index, 1, 2, metadata={"a_bool": True})
    put(store, index, 3, metadata={"a_bool": False})
    where = Eq("a_bool", True)
    assert sorted(found(store, index, near(where=where))) == [1, 2]
    assert store.count(index, T, where) == 2
    assert store.count(index, T, Eq("a_bool", False)) == 1


CORNER = {"lat": 10.0, "lon": 20.0}


@pytest.mark.parametrize(
    ("where", "held"),
    [
        (GeoBox("a_geo", 10, 20, 11, 21), CORNER),
        (GeoBox("a_geo", 9, 19, 10, 20), CORNER),
        (GeoBox("a_geo", 10, 20, 10, 20), CORNER),
        (GeoBox("a_geo", -90, -180, 90, 180), {"lat": 90, "lon": -180}),
        (GeoBox("a_geo", -90, -180, 90, 180), {"lat": -90, "lon": 180}),
        (GeoRadius("a_geo", 10, 20, 0), CORNER),
        (Range("a_datetime", gte=MOMENT, lte=MOMENT), MOMENT),
        (Range("a_float", gte=0, lte=0), -0.0),
        (Range("a_float", gt=0), 5e-324),
        (Range("a_integer", gt=2**53 - 1.5), 2**53),
        (Range("a_integer", lt=1.5, gt=0.5), 1),
    ],
)
def test_what_lies_on_the_very_edge_of_a_condition_is_within_it(store, index, where, held):
    metadata = normal_metadata(FIELDS, {where.field: held})
    assert matches(where, metadata)
    put(store, index, 1, metadata=metadata)
    assert store.count(index, T, where) == 1
    assert store.count(index, T, Not(where)) == 0


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
    held = store.of_asset(index, asset.id)
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
        lambda: store.of_asset(index, AssetId(UUID(int=1))),
        lambda: store.scroll(index),
    ):
        with pytest.raises(NoSuchCollection, match="nowhere"):
            call()


def test_vectors_of_another_model_never_meet(store, index):
    other = replace(WORDS, revision="r2")
    with pytest.raises(ModelMismatch, match=other.vector_name):
        store.search(index, [near(other)])
    lying = replace(index, spaces=(other,))  # a catalogue that says what the index is not
    with pytest.raises(ModelMismatch):
        store.search(lying, [near(other)])
    with pytest.raises(ModelMismatch):
        store.upsert(lying, make_points([make_asset()], {other: [unit(1, 0, 0, 0)]}))


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


@pytest.fixture(scope="module")
def every(tmp_path_factory) -> Iterator[dict[str, tuple[VectorStore, Index]]]:
    """One store of each kind for all examples."""
    root = tmp_path_factory.mktemp("every")
    stores = {kind: (open_store(kind, root / kind), make_index(spaces=(DOTS,))) for kind in KINDS}
    for store, index in stores.values():
        store.create(index)
    yield stores
    for store, index in stores.values():
        store.drop(index.id)
        store.close()


@given(said=st.lists(metadata(), min_size=1, max_size=5), wheres=st.lists(filters(), min_size=1, max_size=5))
def test_every_store_agrees_with_the_definition_of_a_filter(every, said, wheres):
    for where in wheres:
        check(where, FIELDS)
    tenant = uuid4().hex  # a tenant of its own keeps examples apart
    assets = [make_asset(number=n, tenant=tenant, metadata=m) for n, m in enumerate(said)]
    points = make_points(assets, {DOTS: [unit(1, 0)] * len(assets)})
    scope = Scope(tenant=Tenant(tenant))
    for kind, (store, index) in every.items():
        store.upsert(index, points)
        for where in wheres:
            wanted = [n for n, m in enumerate(said) if matches(where, m)]
            query = near(DOTS, unit(1, 0), scope, where=where)
            assert sorted(found(store, index, query)) == wanted, (kind, where)
            assert store.count(index, scope, where) == len(wanted), (kind, where)
        store.forget(index, {asset.id: None for asset in assets})
