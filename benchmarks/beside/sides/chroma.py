"""Chroma, as its documentation shows: a persistent client in a folder, cosine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from benchmarks.peers.serve import Job, serve

WRITTEN = 5000  # rows an addition: it takes 5,461 at most


class Chroma:
    """The jobs."""

    def __init__(self, scratch: Path) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        self._db = chromadb.PersistentClient(str(scratch), settings=Settings(anonymized_telemetry=False))

    def fill(self, vectors: str, prices: str) -> int:
        """Rows with the price as metadata."""
        rows, costs = np.load(vectors), np.load(prices)
        self._rows = self._db.create_collection(
            "bench", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        for at in range(0, len(rows), WRITTEN):
            some = rows[at : at + WRITTEN]
            self._rows.add(
                ids=[str(at + n) for n in range(len(some))],
                embeddings=some,
                metadatas=[{"price": float(cost)} for cost in costs[at : at + len(some)]],
            )
        return int(self._rows.count())

    def search(self, queries: str, most: float | None) -> list[list[Any]]:
        """Of each query its seconds, and the numbers of its ten hits."""
        where: Any = None if most is None else {"price": {"$lt": most}}
        out = []
        for row in np.load(queries):
            began = perf_counter()
            hits = self._rows.query(
                query_embeddings=[row], n_results=10, where=where, include=["metadatas", "distances"]
            )
            out.append([perf_counter() - began, [int(hit) for hit in hits["ids"][0]]])
        return out


def load(_model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """A database in `scratch`."""
    made = Chroma(scratch)
    return {"fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["chromadb"])
