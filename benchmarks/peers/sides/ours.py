"""Quiver, embedded: profile `clip:FOLDER`, SQLite and Qdrant Edge in a folder, everything through the facade."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.peers.serve import Job, serve
from benchmarks.search import batches
from core.encoders.registry import Encoders
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.stores.edge import EdgeStore
from core.types import Tenant
from quiver import Quiver


class Ours:
    """The jobs. The encoders are loaded once and shared by the data folders, each of which is new."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._profile, self._scratch, self._encoders = f"clip:{folder}", scratch, Encoders()
        self._filled = Quiver(self._parts("filled"))

    def vector(self, path: str) -> list[float]:
        """Of one photo."""
        [row] = self._filled.embed([Path(path).read_bytes()]).vectors
        return [float(x) for x in row]

    def ingest(self, paths: Sequence[str]) -> int:
        """Into a fresh data folder; how many are indexed: stored, registered, and their points on the disk."""
        with Quiver(self._parts("ingested")) as quiver:
            return quiver.ingest(*paths, collection="photos").indexed

    def fill(self, vectors: str) -> int:
        """Points to search among, written as indexing writes them, and the index optimized."""
        parts = self._parts("filled")
        self._filled.close()
        self._filled = Quiver(parts)
        self._filled.create("bench")
        index = parts.catalogue.serving("bench")
        (space,) = index.spaces
        parts.store.create(index)
        written = 0
        for points in batches(np.load(vectors), space=space, tenant=Tenant(parts.settings.tenant)):
            parts.store.upsert(index, points)
            written += len(points)
        parts.store.flush(index)
        assert isinstance(parts.store, EdgeStore)
        parts.store.optimize(index)
        return written

    def search(self, texts: Sequence[str]) -> list[float]:
        """Seconds of each text to its ten hits."""
        took = []
        for text in texts:
            began = perf_counter()
            answer = self._filled.search("bench", text)
            took.append(perf_counter() - began)
            if len(answer.hits) != 10:
                raise ValueError(f"{len(answer.hits)} hits")
        return took

    def _parts(self, name: str) -> Parts:
        data = self._scratch / name
        shutil.rmtree(data, ignore_errors=True)
        return Parts(load_settings(data=data, profile=self._profile), self._encoders)


def load(model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Data folders in `scratch`."""
    made = Ours(model, scratch)
    return {"vector": made.vector, "ingest": made.ingest, "fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["torch", "transformers", "qdrant-edge-py"])
