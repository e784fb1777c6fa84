"""qdrant-client's local mode in memory: exact at any size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from benchmarks.peers.serve import Job, serve

WRITTEN = 1000  # points an upsert


class Local:
    """The jobs."""

    def __init__(self) -> None:
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        self._client = QdrantClient(":memory:")

    def fill(self, vectors: str, prices: str) -> int:
        """Points with the price as payload."""
        rows, costs = np.load(vectors), np.load(prices)
        params = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
        self._client.create_collection("c", params)
        for at in range(0, len(rows), WRITTEN):
            points = [
                models.PointStruct(id=at + n, vector=row.tolist(), payload={"price": float(costs[at + n])})
                for n, row in enumerate(rows[at : at + WRITTEN])
            ]
            self._client.upsert("c", points)
        return int(self._client.count("c").count)

    def search(self, queries: str, most: float | None) -> list[list[Any]]:
        """Of each query its seconds, and the numbers of its ten hits."""
        where = None
        if most is not None:
            where = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(lt=most))])
        out = []
        for row in np.load(queries):
            began = perf_counter()
            found = self._client.query_points("c", row, query_filter=where, limit=10, with_payload=True).points
            out.append([perf_counter() - began, [int(hit.id) for hit in found]])
        return out


def load(_model: Path, _scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Nothing is written."""
    made = Local()
    return {"fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["qdrant-client"])
