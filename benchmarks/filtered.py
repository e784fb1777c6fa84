"""What filters cost in recall and time: searching 100,000 points on Qdrant Edge as the query path does, beside scans.

    python -m benchmarks.filtered [points] [folder]

Vectors of 512 dimensions, in 2,000 clusters and evenly on the sphere, where no graph helps; queries are held out.
Filters leave shares of the points at random, or a quarter of the clusters, most of them far from the query. Recall is
of the ten nearest against a scan under the same filter. With a folder, indexes are kept there and found again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.load import cores, measured
from benchmarks.search import CLUSTERS, DIM, SPACE, TENANT, batches, clustered
from core.fields import FieldType
from core.filters import Filter, Range
from core.points import EF, Nearest, Scope
from core.records import Index, IndexState
from core.spaces import Dense
from core.stores.edge import EdgeStore
from core.types import Modality
from retrieval.selectivity import tuned
from retrieval.walks import FIRST

QUERIES, LIMIT = 100, 10
SHARES = (0.5, 0.1, 0.04, 0.01, 0.001)
OUT = Path("docs/benchmarks/filtered.json")
FIELDS = {"pick": FieldType.INTEGER, "cluster": FieldType.INTEGER}
INDEX = Index(id="f", collection="bench", state=IndexState.SERVING, spaces=(SPACE,), fields=FIELDS)
SCOPE = Scope(tenant=TENANT, contents=frozenset({Modality.TEXT}))


def even(n: int, seed: int) -> Dense:
    """f32 (n, 512), unit rows, evenly on the sphere."""
    rows = np.random.default_rng(seed).standard_normal((n, DIM), np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


DATA = {"clustered": clustered, "uniform": even}


def fill(store: EdgeStore, vectors: Dense) -> None:
    """Write them with their metadata, and build the graph."""
    picks = np.random.default_rng(5).permutation(len(vectors))
    clusters = np.random.default_rng(1).integers(0, CLUSTERS, len(vectors))  # what `clustered` draws first
    store.create(INDEX)
    for batch in batches(vectors):
        rows = [UUID(said["asset"]).int for said in batch.payloads]
        metadata = [{"pick": int(picks[row]), "cluster": int(clusters[row])} for row in rows]
        payloads = [{**said, "metadata": held} for said, held in zip(batch.payloads, metadata, strict=True)]
        store.upsert(INDEX, replace(batch, payloads=payloads))
    store.optimize(INDEX)


def answers(
    store: EdgeStore, queries: Sequence[Nearest], *, tune: bool = False
) -> tuple[list[set[UUID]], float, list[Nearest]]:
    """The ids that each finds, the median time in milliseconds, and the queries as they were asked."""
    ids, took, asked = [], [], []
    for query in queries:
        began = perf_counter()
        (query,) = tuned(store, INDEX, [query]) if tune else [query]  # what is timed is both
        (hits,) = store.search(INDEX, [query])
        took.append(perf_counter() - began)
        ids.append({hit.id for hit in hits})
        asked.append(query)
    return ids, 1000 * median(took), asked


def compare(store: EdgeStore, vectors: Dense, where: Filter | None) -> dict[str, Any]:
    """One filter: a scan, a walk as it is without regard to filters, and what is done."""
    queries = [Nearest(space=SPACE, vector=row, scope=SCOPE, where=where, limit=LIMIT) for row in vectors]
    answers(store, queries[:FIRST], tune=True)  # walks are tried beside scans
    scanned, scan_ms, _ = answers(store, [replace(query, exact=True) for query in queries])
    walked, walk_ms, _ = answers(store, queries)
    found, ms, asked = answers(store, queries, tune=True)
    wanted = sum(map(len, scanned))

    def recall(ids: list[set[UUID]]) -> float:
        return round(sum(len(a & b) for a, b in zip(scanned, ids, strict=True)) / wanted, 4)

    how = sorted({"scan" if query.exact else f"walk of {query.ef or EF}" for query in asked})
    return {
        "points": store.count(INDEX, SCOPE, where),
        "recall": recall(found),
        "p50_ms": round(ms, 2),
        "how": ", ".join(how),
        "walk_recall": recall(walked),
        "walk_p50_ms": round(walk_ms, 2),
        "scan_p50_ms": round(scan_ms, 2),
    }


def overhead(store: EdgeStore, vector: Dense) -> float:
    """p50 in milliseconds of deciding alone, without a filter, when it was asked before."""
    query = Nearest(space=SPACE, vector=vector, scope=SCOPE, limit=LIMIT)
    took = []
    for _ in range(100):
        began = perf_counter()
        tuned(store, INDEX, [query])
        took.append(perf_counter() - began)
    return 1000 * median(took)


def main(points: int = 100_000, folder: str | None = None) -> None:
    """Build, measure, print, and write docs/benchmarks/filtered.json."""
    said: dict[str, Any] = {"queries": QUERIES, "cores": cores(), "data": {}}
    with measured() as load, tempfile.TemporaryDirectory() as made:
        for name, draw in DATA.items():
            root = Path(folder or made) / name
            store = EdgeStore(root)
            if INDEX.id not in store.indexes():
                fill(store, draw(points, 1))
            vectors = draw(QUERIES, 2)
            filters: dict[str, Filter | None] = {"no filter": None}
            filters |= {f"{100 * share:g} %": Range("pick", lt=points * share) for share in SHARES}
            if name == "clustered":
                filters["a quarter of the clusters"] = Range("cluster", lt=CLUSTERS // 4)
            rows = {what: compare(store, vectors, where) for what, where in filters.items()}
            said["data"][name] = {"points": store.count(INDEX, SCOPE), "filters": rows}
            said.setdefault("deciding_p50_ms", round(overhead(store, vectors[0]), 4))
            store.close()
            for what, row in rows.items():
                print(name, what, row, flush=True)
    said["cores_of_others"] = round(load.others, 2)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000, *sys.argv[2:3])
