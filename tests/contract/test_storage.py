"""How vectors are kept: whatever is saved in memory, what is found is what a plain index finds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

from core.errors import BadPoint, BadQuery, Conflict, Misconfigured
from core.filters import Eq
from core.points import Nearest
from core.ports import VectorStore
from core.records import Index, Quantization, Storage
from core.spaces import Dense, EmbeddingSpace, Metric
from core.stores import edge_folder
from core.stores.edge import EdgeStore
from core.stores.edge_types import request
from core.stores.memory import MemoryStore
from core.stores.server import ServerStore
from tests.contract.vector_stores import KINDS, QUIET, T, make_index, open_store
from tests.strategies import make_asset, make_points, make_space, sparse, unit

pytestmark = QUIET
LIMIT = 10
SPACE = make_space("words", 256)
LARGE = make_space("large", 1024)  # 2,600 vectors are more than the 10,000 KB from which the engine builds a graph
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
SHORT = [kind for kind in Quantization if kind is not Quantization.NONE]


def drawn(space: EmbeddingSpace, n: int, seed: int) -> Dense:
    """Unit rows in clusters whose members lie close: f32 (n, dim)."""
    centres = np.random.default_rng(0).standard_normal((20, space.dim))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, 20, n)] + 0.8 * rng.standard_normal((n, space.dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def filled(store: VectorStore, index: Index) -> VectorStore:
    """With points, of which one in ten is true."""
    store.create(index)
    space = index.spaces[0]
    points = 800 if space is SPACE else 2600
    assets = [make_asset(number=n, metadata={"a_bool": n % 10 == 0}) for n in range(points)]
    terms = [sparse(i1=1 + n / points) for n in range(points)]
    store.upsert(index, make_points(assets, {space: list(drawn(space, points, 1)), TERMS: terms}))
    return store


@pytest.fixture(scope="module")
def plain() -> VectorStore:
    """What is really nearest."""
    return filled(MemoryStore(), make_index(id="i", spaces=(SPACE, TERMS)))


@pytest.fixture(scope="module")
def large() -> VectorStore:
    """The same of more and longer vectors."""
    return filled(MemoryStore(), make_index(id="i", spaces=(LARGE, TERMS)))


def asked(space: EmbeddingSpace = SPACE, count: int = 15) -> list[Nearest]:
    queries = [Nearest(space=space, vector=row, scope=T, limit=LIMIT) for row in drawn(space, count, 2)]
    return [*queries, *(replace(query, where=Eq("a_bool", True)) for query in queries)]


def recall(plain: VectorStore, store: VectorStore, index: Index, queries: list[Nearest]) -> float:
    wanted, found = (
        [{hit.id for hit in hits} for hits in one.search(replace(index, id=name), queries)]
        for one, name in ((plain, "i"), (store, index.id))
    )
    return sum(len(a & b) for a, b in zip(wanted, found, strict=True)) / sum(map(len, wanted))


@pytest.mark.parametrize("quantization", SHORT)
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_codes_finds_what_a_plain_one_does(plain, tmp_path, kind, quantization):
    index = make_index(spaces=(SPACE, TERMS), storage=Storage(quantization=quantization, on_disk=True))
    store = filled(open_store(kind, tmp_path / "s"), index)
    try:
        assert recall(plain, store, index, asked()) >= 0.98
        exact = [replace(query, exact=True) for query in asked()]
        assert recall(plain, store, index, exact) == 1.0
        terms = [Nearest(space=TERMS, vector=sparse(i1=1), scope=T, limit=LIMIT)]
        assert recall(plain, store, index, terms) == 1.0
    finally:
        store.drop(index.id)
        store.close()


@pytest.mark.parametrize(
    "quantization", [Quantization.TURBO, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SHORT[::2])]
)
def test_codes_are_made_outlive_opening_again_and_scores_are_of_full_vectors(large, tmp_path, quantization):
    index = make_index(spaces=(LARGE, TERMS), storage=Storage(quantization=quantization))
    store = EdgeStore(tmp_path)
    filled(store, index)
    store.optimize(index)
    store.close()
    store = EdgeStore(tmp_path)
    store.create(index)
    assert recall(large, store, index, asked(LARGE)) >= 0.98
    mine, its = (
        one.search(replace(index, id=name), asked(LARGE, 1)[:1])[0] for one, name in ((store, index.id), (large, "i"))
    )
    assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in its], abs=1e-5)
    made = [path.name for path in edge_folder.current(tmp_path, index.id).rglob("*") if path.is_file()]
    assert any("quantized" in name for name in made)
    assert any("links" in name or "graph" in name for name in made), made
    store.close()


@pytest.mark.parametrize("quantization", SHORT)
def test_codes_are_always_looked_at_more_than_is_wanted_and_compared_again(quantization):
    coded: Any = request(asked()[0], Storage(quantization=quantization)).params
    plain: Any = request(asked()[0], Storage()).params
    asked_of_edge = coded.quantization
    assert asked_of_edge.rescore
    assert asked_of_edge.oversampling >= 2
    assert plain.quantization is None


def test_a_server_is_told_how_an_index_is_kept():
    client = QdrantClient(":memory:")
    index = make_index(spaces=(SPACE, TERMS), storage=Storage(quantization=Quantization.SCALAR, m=8, on_disk=True))
    ServerStore(client).create(index)
    vectors: Any = client.get_collection(f"quiver-{index.id}").config.params.vectors
    said = vectors[SPACE.vector_name]
    assert isinstance(said.quantization_config, m.ScalarQuantization)
    assert (said.hnsw_config.m, said.on_disk) == (8, True)


def test_an_index_that_is_kept_otherwise_is_another(store):
    index = make_index(spaces=(SPACE,), storage=Storage(quantization=Quantization.SCALAR))
    store.create(index)
    store.create(index)
    with pytest.raises(Conflict, match="storage"):
        store.create(replace(index, storage=Storage()))
    store.drop(index.id)


def test_an_index_made_before_there_was_a_choice_is_plain(tmp_path):
    index = make_index(spaces=(SPACE,))
    store = EdgeStore(tmp_path)
    store.create(index)
    said = edge_folder.folder_of(tmp_path, index.id) / "index.json"
    text = said.read_text()
    assert '"storage"' in text
    kept = edge_folder.description(tmp_path, index.id) or {}
    kept.pop("storage")
    said.write_text(json.dumps(kept))
    store.create(index)
    store.upsert(index, make_points([make_asset()], {SPACE: [unit(*[1] * 256)]}))
    assert store.search(index, [Nearest(space=SPACE, vector=unit(*[1] * 256), scope=T)])[0]
    with pytest.raises(Conflict, match="storage"):
        store.create(replace(index, storage=Storage(m=8)))
    store.close()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"quantization": "half"}, "one of none, scalar, turbo, binary"),
        ({"m": 1}, "4 to 128"),
        ({"m": True}, "4 to 128"),
        ({"m": 64, "ef_construct": 32}, "64 .m. to 4096"),
        ({"ef_construct": 10**6}, "to 4096"),
        ({"on_disk": "yes"}, "true or false"),
        ({"colour": 1}, "a storage has quantization, m"),
    ],
)
def test_a_storage_that_makes_no_index_is_refused(said, why):
    with pytest.raises(BadQuery, match=why):
        Storage.from_dict(said)


def test_a_storage_is_written_and_read():
    said = Storage(quantization=Quantization.TURBO, m=32, ef_construct=200, on_disk=True)
    assert Storage.from_dict(said.as_dict()) == said
    assert Storage.from_dict({}) == Storage()


def test_a_server_that_cannot_keep_an_index_so_says_it_and_what_was_asked():
    class Old(QdrantClient):
        def create_collection(self, *_: object, **__: object) -> bool:
            raise UnexpectedResponse(422, "", b"unknown variant `turbo`", httpx.Headers())

    index = make_index(spaces=(SPACE,), storage=Storage(quantization=Quantization.TURBO))
    with pytest.raises(Misconfigured, match=r"turbo.*unknown variant"):
        ServerStore(Old(":memory:")).create(index)
    with pytest.raises(BadPoint):
        ServerStore(Old(":memory:")).create(replace(index, storage=Storage()))
