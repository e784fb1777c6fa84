"""What the socket of a store process costs: a search and an upsert over it, and the same in this process.

    python -m benchmarks.store_process [--points 10000] [--searches 2000]

Points of 512 dimensions with the payload of an asset, in batches of 256; ten hits a search. Both stores hold the same.
Rounds of some calls alternate, so that what others do to the machine strikes both, and medians count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from uuid import UUID

import numpy as np

from core.points import Column, Nearest, Points, Scope, payload, point_id
from core.ports import VectorStore
from core.records import Index, IndexState
from core.spaces import EmbeddingSpace, Metric
from core.stores.edge import EdgeStore
from core.stores.process import ProcessStore
from core.stores.spawn import spawn
from core.types import Asset, AssetId, Digest, Modality, Segment, Tenant, Text
from tests.strategies import T0

DIM, BATCH = 512, 256
ROUND = 50  # calls of one store before the other's: fewer would find its caches cold
SPACE = EmbeddingSpace(
    name="s", model="m", revision="r", dim=DIM, metric=Metric.COSINE, modalities=frozenset(Modality), recipe=""
)
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(SPACE,), fields={})
SCOPE = Scope(tenant=Tenant("t"))


def batches(count: int) -> list[Points]:
    """Points in batches, the same every time."""
    rows = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [_batch(range(at, min(at + BATCH, count)), rows[at : at + BATCH]) for at in range(0, count, BATCH)]


def _batch(numbers: range, rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Points:
    assets = [
        Asset(
            id=AssetId(UUID(int=n)),
            tenant=SCOPE.tenant,
            collection="c",
            external_id=f"{n}.txt",
            modality=Modality.TEXT,
            media_type="text/plain",
            digest=Digest(f"{n:064x}"),
            size=1,
            metadata={},
            generation=1,
            created_at=T0,
        )
        for n in numbers
    ]
    segment = Segment(0, Text("words " * 20))
    ids, said = [point_id(asset, 0) for asset in assets], [payload(asset, segment, {}) for asset in assets]
    return Points(ids=ids, payloads=said, columns={SPACE: Column(range(len(ids)), rows)})


def main() -> None:
    """Print both, and the difference."""
    parser = argparse.ArgumentParser(description="What the socket of a store process costs.")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    said = parser.parse_args()
    parts = batches(said.points)
    with tempfile.TemporaryDirectory() as folder, spawn(Path(folder, "process")) as spawned:
        stores: dict[str, VectorStore] = {
            "in process": EdgeStore(Path(folder, "edge")),
            "over the socket": ProcessStore(spawned.path),
        }
        for store in stores.values():
            store.create(INDEX)
        written: dict[str, list[float]] = {name: [] for name in stores}
        asked: dict[str, list[float]] = {name: [] for name in stores}
        for start in range(0, len(parts), ROUND):
            for name, store in stores.items():
                for part in parts[start : start + ROUND]:
                    began = perf_counter()
                    store.upsert(INDEX, part)
                    written[name].append(perf_counter() - began)
        for start in range(0, said.searches, ROUND):
            for name, store in stores.items():
                for n in range(start, start + ROUND):
                    query = Nearest(space=SPACE, vector=_query(parts, n), scope=SCOPE, limit=10)
                    began = perf_counter()
                    store.search(INDEX, [query])
                    asked[name].append(perf_counter() - began)
        for name, store in stores.items():
            median, tail = statistics.median(asked[name]) * 1e3, statistics.quantiles(asked[name], n=20)[-1] * 1e3
            rate = BATCH / statistics.median(written[name])
            print(f"{name:16} search {median:6.3f} ms (95%: {tail:6.3f}), upsert {rate:8,.0f} points/s")
            store.close()
        here, there = (statistics.median(times) * 1e3 for times in asked.values())
        print(f"the socket adds {there - here:.3f} ms a search")


def _query(parts: list[Points], number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    part = parts[number % len(parts)]
    return np.asarray(part.columns[SPACE].vectors[number % len(part)], np.float32)


if __name__ == "__main__":
    main()
