"""Quiver, embedded: the whole path of `Quiver.search` by a vector, over SQLite and Qdrant Edge."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.beside.encoder import PROFILE, SPACE, Vectors
from benchmarks.peers.serve import Job, serve
from benchmarks.search import batches
from core.encoders.registry import Encoders
from core.points import Points
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.stores.edge import EdgeStore
from core.types import Tenant
from quiver import Quiver


class Ours:
    """The jobs."""

    def __init__(self, scratch: Path) -> None:
        data = scratch / "filled"
        shutil.rmtree(data, ignore_errors=True)
        self._parts = Parts(load_settings(data=data, profile=PROFILE), Encoders({PROFILE: lambda _: [Vectors()]}))
        self._quiver = Quiver(self._parts)

    def fill(self, vectors: str, prices: str) -> int:
        """Points to search among, as indexing writes them, and the index optimized."""
        self._quiver.create("bench", fields={"price": "float"})
        index, store = self._parts.catalogue.serving("bench"), self._parts.store
        store.create(index)
        costs, written = np.load(prices), 0
        for points in batches(np.load(vectors), space=SPACE, tenant=Tenant(self._parts.settings.tenant)):
            store.upsert(index, _priced(points, costs[written:]))
            written += len(points)
        store.flush(index)
        assert isinstance(store, EdgeStore)
        store.optimize(index)
        return written

    def search(self, queries: str, most: float | None) -> list[list[Any]]:
        """Of each query its seconds, and the numbers of its ten hits."""
        where = None if most is None else f"price < {most!r}"
        out = []
        for row in np.load(queries):
            began = perf_counter()
            answer = self._quiver.search("bench", vector=(SPACE.name, row), where=where)
            out.append([perf_counter() - began, [int(hit.external_id.partition(".")[0]) for hit in answer.hits]])
        return out


def _priced(points: Points, costs: Sequence[float]) -> Points:
    said = [
        {**each, "metadata": {**each["metadata"], "price": float(cost)}}
        for each, cost in zip(points.payloads, costs, strict=False)
    ]
    return replace(points, payloads=said)


def load(_model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """A data folder in `scratch`."""
    made = Ours(scratch)
    return {"fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["qdrant-edge-py"])
