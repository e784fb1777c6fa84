"""Searching as an index on Qdrant Edge grows: latency, recall, loading time and memory from 10,000 to 1,000,000 points.

    python -m benchmarks.growth [--points 1000000]

Points are added to what is there and the graph is built over them; then a process of its own opens the folder and
searches it through `Quiver.search`, so that memory is that of who serves. Vectors are drawn a batch at a time: none but
the store's are held. About 7 GB of disk for a million points, in a temporary folder that is deleted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.beside.encoder import PROFILE, SPACE, Vectors
from benchmarks.load import cores, measured
from benchmarks.search import batches, clustered
from core.encoders.registry import Encoders
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.stores.edge import EdgeStore
from core.types import Tenant
from quiver import Quiver
from retrieval.request import Answer

DIM, LIMIT, SEARCHES, COMPARED, DRAWN, MIB = 128, 10, 1000, 200, 10_000, 1 << 20
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
OUT = Path("docs/benchmarks/growth.json")
COLLECTION = "bench"
SHORT = replace(SPACE, dim=DIM)


def opened(folder: Path) -> Parts:
    """A data folder of vectors that are made elsewhere."""
    return Parts(load_settings(data=folder, profile=PROFILE), Encoders({PROFILE: lambda _: [Vectors(SHORT)]}))


def grow(folder: Path, start: int, points: int) -> tuple[float, float]:
    """Write points `start` to `points`, as indexing writes them, and build the graph: seconds of each."""
    parts = opened(folder)
    with Quiver(parts) as quiver:
        if not start:
            quiver.create(COLLECTION)
        index, store = parts.catalogue.serving(COLLECTION), parts.store
        assert isinstance(store, EdgeStore)
        store.create(index)
        tenant, wrote = Tenant(parts.settings.tenant), 0.0
        for first in range(start, points, DRAWN):
            rows = clustered(min(DRAWN, points - first), 100 + first, DIM)
            for some in batches(rows, SHORT, tenant, first=first):
                began = perf_counter()
                store.upsert(index, some)
                wrote += perf_counter() - began
        began = perf_counter()
        store.flush(index)
        flushed = perf_counter()
        store.optimize(index)
        return wrote + flushed - began, perf_counter() - flushed


def memory() -> tuple[int, int]:
    """MiB of this process that are in memory; and those of them that are not pages of files."""
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(said["VmRSS"].split()[0]) // 1024, int(said["RssAnon"].split()[0]) // 1024


def timed(asks: int, ask: Callable[[int], Answer]) -> tuple[list[float], list[set[str]]]:
    """Milliseconds of each search, and what it found."""
    took, found = [], []
    for number in range(asks):
        began = perf_counter()
        answer = ask(number)
        took.append(1000 * (perf_counter() - began))
        found.append({hit.external_id for hit in answer.hits})
    return took, found


def searched(folder: Path) -> dict[str, Any]:
    """What a process finds that opens the folder: to be run in one that has done nothing else."""
    empty, _ = memory()
    rows = clustered(SEARCHES, 2, DIM)
    began = perf_counter()
    with Quiver(opened(folder)) as quiver:

        def ask(number: int, *, exact: bool = False) -> Answer:
            return quiver.search(COLLECTION, vector=(SHORT.name, rows[number]), limit=LIMIT, exact=exact)

        ask(0)
        opening = perf_counter() - began
        timed(20, ask)  # walks are tried beside scans, and pages of the graph are read
        took, found = timed(SEARCHES, ask)
        rss, own = memory()  # before the scans, which read every vector
        exact_took, wanted = timed(COMPARED, lambda number: ask(number, exact=True))
    right = sum(len(a & b) for a, b in zip(wanted, found, strict=False))
    return {
        "opened_s": round(opening, 2),
        "p50_ms": round(float(np.percentile(took, 50)), 2),
        "p99_ms": round(float(np.percentile(took, 99)), 2),
        "recall": round(right / sum(map(len, wanted)), 4),
        "exact_p50_ms": round(float(np.percentile(exact_took, 50)), 2),
        "rss_mib": rss,
        "own_mib": own,
        "empty_mib": empty,
    }


def elsewhere(folder: Path) -> dict[str, Any]:
    """`searched`, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(searched, folder).result()


def main() -> None:
    """Print a line a size, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--points", type=int, default=SIZES[-1], help="where it ends")
    most = args.parse_args().points
    rows: list[dict[str, Any]] = []
    wrote = built = 0.0
    with tempfile.TemporaryDirectory() as made, measured() as load:
        folder, start = Path(made), 0
        for points in [*(size for size in SIZES if size < most), most]:
            writing, building = grow(folder, start, points)
            wrote, built, start = wrote + writing, built + building, points
            disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*")) // MIB
            row = {"points": points, "loaded_s": round(wrote + built, 1), "graph_s": round(built, 1)}
            rows.append(row | elsewhere(folder) | {"disk_mib": disk})
            print(json.dumps(rows[-1]), flush=True)
    said = {
        "dim": DIM,
        "searches": SEARCHES,
        "compared": COMPARED,
        "cores": cores(),
        "cores_of_others": round(load.others, 2),
        "empty_mib": max(row.pop("empty_mib") for row in rows),
        "sizes": rows,
    }
    OUT.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
