"""LanceDB, as its documentation shows: a table with a vector index and an index of the price, in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from benchmarks.peers.serve import Job, serve

WRITTEN = 10_000  # rows an addition


class Lance:
    """The jobs."""

    def __init__(self, scratch: Path) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        self._db = lancedb.connect(str(scratch))

    def fill(self, vectors: str, prices: str) -> int:
        """Rows, and then the indexes."""
        rows, costs = np.load(vectors), np.load(prices)
        kind = pa.schema(
            [("id", pa.int64()), ("price", pa.float64()), ("vector", pa.list_(pa.float32(), rows.shape[1]))]
        )
        self._table = self._db.create_table("c", schema=kind)
        for at in range(0, len(rows), WRITTEN):
            some = rows[at : at + WRITTEN]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), rows.shape[1])
            self._table.add(
                pa.table(
                    [pa.array(np.arange(at, at + len(some))), pa.array(costs[at : at + len(some)]), flat], schema=kind
                )
            )
        self._table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        self._table.create_scalar_index("price")
        return int(self._table.count_rows())

    def search(self, queries: str, most: float | None) -> list[list[Any]]:
        """Of each query its seconds, and the numbers of its ten hits."""
        out = []
        for row in np.load(queries):
            began = perf_counter()
            asked = self._table.search(row).distance_type("cosine").refine_factor(10).limit(10)
            if most is not None:
                asked = asked.where(f"price < {most!r}", prefilter=True)
            hits = asked.select(["id", "price"]).to_list()
            out.append([perf_counter() - began, [int(hit["id"]) for hit in hits]])
        return out


def load(_model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """A database in `scratch`."""
    made = Lance(scratch)
    return {"fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["lancedb"])
