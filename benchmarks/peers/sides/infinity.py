"""infinity: its engine in this process, all photos asked for at once so that it batches as it likes; the vectors into
qdrant-client's local mode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from infinity_emb import AsyncEmbeddingEngine, EngineArgs
from PIL import Image
from qdrant_client import QdrantClient, models

from benchmarks.peers.serve import Job, serve

BATCH = 32


class Infinity:
    """The jobs. The engine lives on one event loop, which runs while something is asked."""

    def __init__(self, folder: Path) -> None:
        said = EngineArgs(
            model_name_or_path=str(folder),
            engine="torch",
            device="cpu",
            batch_size=BATCH,
            bettertransformer=False,
            model_warmup=False,
        )
        self._loop = asyncio.Runner()
        self._engine = AsyncEmbeddingEngine.from_args(said)
        self._loop.run(self._engine.astart())

    def vector(self, path: str) -> list[float]:
        """Of one photo."""
        return [float(x) for x in self._encode([path])[0]]

    def ingest(self, paths: Sequence[str]) -> int:
        """Into a fresh collection; how many it holds."""
        rows = self._encode(paths)
        client = QdrantClient(":memory:")
        client.create_collection("c", models.VectorParams(size=len(rows[0]), distance=models.Distance.COSINE))
        points = [
            models.PointStruct(id=i, vector=row.tolist(), payload={"path": path})
            for i, (path, row) in enumerate(zip(paths, rows, strict=True))
        ]
        client.upsert("c", points)
        return int(client.count("c").count)

    def _encode(self, paths: Sequence[str]) -> list[np.ndarray]:
        pictures = [Image.open(path) for path in paths]
        rows, _ = self._loop.run(self._engine.image_embed(images=pictures))
        return [np.asarray(row, np.float32) for row in rows]


def load(model: Path, _scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Nothing is written."""
    made = Infinity(model)
    return {"vector": made.vector, "ingest": made.ingest}


if __name__ == "__main__":
    serve(load, ["infinity-emb", "transformers", "torch", "qdrant-client"])
