"""Searching 100,000 points on Qdrant Edge: our store and the whole query path, beside the bare engine call.

    python -m benchmarks.search [points]

Vectors: 512 dimensions, unit, in 2,000 clusters; queries are held-out members. Rounds alternate, so that a busy
machine slows all of them; the ratio is the figure to trust, the milliseconds are this machine's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as e

from benchmarks.split import split
from core.encoders.checked import Checked
from core.encoders.registry import Encoders, Family
from core.points import EF, Column, Nearest, Points, Scope, payload, point_id
from core.ports import Catalogue, Encoder
from core.records import Index, IndexState, Storage
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.spaces import Dense, EmbeddingSpace, Metric
from core.stores.edge import EdgeStore
from core.stores.edge_shard import Shard
from core.stores.edge_types import request, to_filter
from core.stores.translate import scoped
from core.types import Asset, AssetId, Digest, Modality, Segment, Tenant, Text
from quiver import Quiver
from retrieval.request import SearchRequest
from retrieval.search import search

DIM, CLUSTERS, QUERIES, ROUNDS, LIMIT, BATCH = 512, 2000, 200, 5, 10, 1000
OUT = Path("docs/benchmarks/search.json")
SPACE = EmbeddingSpace(
    name="bench",
    model="random",
    revision="1",
    dim=DIM,
    metric=Metric.COSINE,
    modalities=frozenset({Modality.TEXT}),
    recipe="",
)
INDEX = Index(id="bench-1", collection="bench", state=IndexState.SERVING, spaces=(SPACE,), fields={})
TENANT = Tenant("bench")


def clustered(n: int, seed: int, dim: int = DIM) -> Dense:
    """f32 (n, dim), unit rows: centres are the same for every seed, members are not."""
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, dim), np.float32)
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, CLUSTERS, n)] + 0.7 * rng.standard_normal((n, dim), np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def batches(
    vectors: Dense, space: EmbeddingSpace = SPACE, tenant: Tenant = TENANT, *, first: int = 0
) -> Iterator[Points]:
    """One text asset a vector, numbered from `first`, with a payload of the usual size."""
    now = datetime.now(UTC)
    for start in range(0, len(vectors), BATCH):
        rows = vectors[start : start + BATCH]
        assets = [
            Asset(
                id=AssetId(UUID(int=n)),
                tenant=tenant,
                collection="bench",
                external_id=f"{n}.txt",
                modality=Modality.TEXT,
                media_type="text/plain",
                digest=Digest(f"{n:064x}"),
                size=1,
                metadata={"title": f"number {n}"},
                generation=1,
                created_at=now,
            )
            for n in range(first + start, first + start + len(rows))
        ]
        segment = Segment(0, Text("a sentence of about the usual length for a window of text " * 4))
        yield Points(
            [point_id(asset, 0) for asset in assets],
            [payload(asset, segment, {}) for asset in assets],
            {space: Column(range(len(rows)), rows)},
        )


@dataclass(frozen=True, slots=True)
class Known:
    """An encoder that costs nothing: a query is the number of its vector."""

    vectors: Dense
    space: EmbeddingSpace = SPACE
    pixels: int = 0

    def encode(self, contents: Any) -> Any:
        """Every content by its number."""
        return np.stack([self.encode_query(content) for content in contents])

    def encode_query(self, query: Any) -> Dense:
        """The vector of that number."""
        row: Dense = self.vectors[int(query.value)]
        return row


def measure(calls: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """p50 in milliseconds of each: the median over rounds of the round's median."""
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            took = []
            for n in range(QUERIES):
                began = perf_counter()
                call(n)
                took.append(perf_counter() - began)
            rounds[name].append(1000 * median(took))
    return {name: median(held) for name, held in rounds.items()}


def main(points: int = 100_000) -> None:
    """Build, measure, print, and write docs/benchmarks/search.json."""
    vectors = clustered(QUERIES, 2)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        parts = Parts(load_settings(data=folder, profile="bench", tenant=TENANT), Encoders({"bench": _known(vectors)}))
        with Quiver(parts) as quiver:
            quiver.create("bench")
            index, store = parts.catalogue.serving("bench"), parts.store
            assert isinstance(store, EdgeStore)
            store.create(index)
            began = perf_counter()
            for batch in batches(clustered(points, 1)):
                store.upsert(index, batch)
            store.flush(index)
            wrote = perf_counter() - began
            store.optimize(index)
            optimized = perf_counter() - began - wrote
            said = compare(store, index, parts.catalogue, vectors)
        said |= {
            "split": split(folder, "bench", SPACE, vectors, ROUNDS),
            "points": points,
            "write_points_per_second": round(points / wrote),
            "optimize_seconds": round(optimized, 1),
        }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(said, indent=1) + "\n")
    for name, value in (*said.items(), *said["split"]["plain"].items()):
        print(f"{name:42}{value}")


def _known(vectors: Dense) -> Family:
    return lambda _: [Known(vectors)]


def compare(store: EdgeStore, index: Index, catalogue: Catalogue, vectors: Dense) -> dict[str, Any]:
    """The bare engine, our store and the whole path, on the same queries; and the recall of the graph."""
    encoder: Encoder = Checked(Known(vectors))
    held = store._held[index.id]
    if not isinstance(held, Shard):
        raise SystemExit("the index is served by another process: there is no bare call to compare with")
    shard = held._shard
    scope = Scope(tenant=TENANT, modalities=frozenset({Modality.TEXT}))
    prepared = to_filter(scoped(scope))
    deep = max(50, 3 * LIMIT)  # what the path asks a store for

    def query(n: int, limit: int, *, exact: bool = False) -> Nearest:
        return Nearest(space=SPACE, vector=vectors[n], scope=scope, limit=limit, exact=exact)

    def bare(n: int, limit: int) -> object:
        """The engine alone, and its hits read: they are turned into Python's objects when they are looked at."""
        asked = e.QueryRequest(
            limit=limit,
            query=e.Query.Nearest(vectors[n].tolist(), SPACE.vector_name),
            filter=prepared,
            params=e.SearchParams(hnsw_ef=EF),
            with_payload=True,
        )
        return [(hit.id, hit.score, hit.payload) for hit in shard.query(asked)]

    def path(n: int) -> object:
        asked = SearchRequest(tenant=TENANT, collection="bench", query=Text(str(n)), limit=LIMIT)
        return search(asked, catalogue=catalogue, store=store, encoder_of=lambda _: encoder)

    p50 = measure(
        {
            f"bare engine, {LIMIT} hits": lambda n: bare(n, LIMIT),
            f"store, {LIMIT} hits": lambda n: store.search(index, [query(n, LIMIT)]),
            f"bare engine, {deep} hits": lambda n: bare(n, deep),
            f"store, {deep} hits": lambda n: store.search(index, [query(n, deep)]),
            "query path without encoder": path,
            "of it, catalogue": lambda _: catalogue.serving("bench"),
            "query to engine's types": lambda n: request(query(n, LIMIT), Storage()),
        }
    )
    near, exact = (
        [{hit.id for hit in store.search(index, [query(n, LIMIT, exact=said)])[0]} for n in range(QUERIES)]
        for said in (False, True)
    )
    return {
        "p50_ms": {name: round(ms, 3) for name, ms in p50.items()},
        "store_over_bare": round(p50[f"store, {LIMIT} hits"] / p50[f"bare engine, {LIMIT} hits"], 3),
        "path_over_bare_same_hits": round(p50["query path without encoder"] / p50[f"bare engine, {deep} hits"], 3),
        "path_over_bare": round(p50["query path without encoder"] / p50[f"bare engine, {LIMIT} hits"], 3),
        "recall_at_10": round(sum(len(a & b) for a, b in zip(near, exact, strict=True)) / (LIMIT * QUERIES), 4),
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
