"""What a search finds, over every VectorStore: order, scores, scopes, filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import ModelMismatch
from core.fields import normal_metadata
from core.filters import Eq, GeoBox, GeoRadius, Not, Range, check, matches
from core.points import Scope, payload, point_id
from core.ports import VectorStore
from core.records import Index
from core.spaces import Sparse
from core.types import AssetId, Modality, Segment, Tenant, Text
from retrieval.filter_json import read, write
from tests.contract.vector_stores import (
    DOTS,
    KINDS,
    MOMENT,
    QUIET,
    TERMS,
    WORDS,
    T,
    found,
    make_index,
    near,
    open_store,
    put,
)
from tests.strategies import FIELDS, filters, make_asset, make_points, metadata, sparse, unit

pytestmark = QUIET


def test_what_is_written_is_found_best_first_with_its_payload_and_raw_score(store, index):
    assets = [make_asset(number=n, metadata={"a_keyword": f"k{n}"}) for n in (1, 2, 3)]
    store.upsert(index, make_points(assets, {WORDS: [unit(0, 1, 0, 0), unit(1, 0, 0, 0), unit(1, 1, 0, 0)]}))
    hits = store.search(index, [near()])[0]
    assert [hit.id for hit in hits] == [point_id(assets[n], 0) for n in (1, 2, 0)]
    assert [hit.score for hit in hits] == pytest.approx([1, 2**-0.5, 0], abs=1e-6)
    assert hits[0].payload == payload(assets[1], Segment(0, Text("words")), FIELDS)


@pytest.mark.parametrize("wanted", [frozenset(), frozenset({"asset"}), frozenset({"metadata", "blocked", "absent"})])
def test_of_a_payload_no_more_is_told_than_was_asked_for(store, index, wanted):
    asset = make_asset(metadata={"a_keyword": "k"})
    store.upsert(index, make_points([asset], {WORDS: [unit(1, 0, 0, 0)]}))
    whole = payload(asset, Segment(0, Text("words")), FIELDS)
    [hit] = store.search(index, [near(payload=wanted)])[0]
    assert hit.payload == {name: said for name, said in whole.items() if name in wanted}
    assert (hit.id, hit.score) == (point_id(asset, 0), pytest.approx(1))


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
    assert 0 < store.count(index, T, where, exact=False) <= 3
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


def test_vectors_of_another_model_never_meet(store, index):
    other = replace(WORDS, revision="r2")
    with pytest.raises(ModelMismatch, match=other.vector_name):
        store.search(index, [near(other)])
    lying = replace(index, spaces=(other,))  # a catalogue that says what the index is not
    with pytest.raises(ModelMismatch):
        store.search(lying, [near(other)])
    with pytest.raises(ModelMismatch):
        store.upsert(lying, make_points([make_asset()], {other: [unit(1, 0, 0, 0)]}))


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


@example(  # to the engine the meridian of 180 is that of -180
    said=[{"a_geo": {"lat": 0.0, "lon": lon}} for lon in (0.0, -100.0, 150.0)],
    wheres=[GeoBox("a_geo", south=0.0, west=west, north=1.0, east=180.0) for west in (-180.0, -136.0, 0.0, 140.0)],
)
@example(  # and the north pole is the south pole
    said=[{"a_geo": {"lat": lat, "lon": 0.0}} for lat in (0.0, -85.0, 60.0)],
    wheres=[GeoBox("a_geo", south=south, west=0.0, north=90.0, east=1.0) for south in (-90.0, -80.0, 0.0, 50.0)],
)
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
            query = near(DOTS, unit(1, 0), scope, where=read(write(where), FIELDS))  # the same, said as JSON
            assert sorted(found(store, index, query)) == wanted, (kind, where)
            assert store.count(index, scope, where) == len(wanted), (kind, where)
        store.forget(index, {asset.id: None for asset in assets})
