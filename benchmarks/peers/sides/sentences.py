"""sentence-transformers, and qdrant-client's local mode: the stack that its documentation shows. Variants: the weights'
own fp32, which is the default, and bf16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

from benchmarks.peers.serve import Job, serve

BATCH = 32
WRITTEN = 1000  # points an upsert


class Sentences:
    """The jobs."""

    def __init__(self, folder: Path, variant: str) -> None:
        said = {"dtype": torch.bfloat16} if variant == "bf16" else {}
        self._model = SentenceTransformer(str(folder), device="cpu", model_kwargs=said)
        self._filled = _empty(1)

    def vector(self, path: str) -> list[float]:
        """Of one photo."""
        return [float(x) for x in self._encode([path])[0]]

    def ingest(self, paths: Sequence[str]) -> int:
        """Into a fresh collection; how many it holds."""
        dim = self._model.get_embedding_dimension()
        client = _empty(dim)
        for at in range(0, len(paths), BATCH):
            some = paths[at : at + BATCH]
            _write(client, at, self._encode(some), [{"path": path} for path in some])
        return int(client.count("c").count)

    def fill(self, vectors: str) -> int:
        """Points to search among."""
        rows = np.load(vectors)
        self._filled = _empty(rows.shape[1])
        for at in range(0, len(rows), WRITTEN):
            some = rows[at : at + WRITTEN]
            _write(self._filled, at, some, [{"title": f"number {at + i}"} for i in range(len(some))])
        return int(self._filled.count("c").count)

    def search(self, texts: Sequence[str]) -> list[float]:
        """Seconds of each text to its ten hits."""
        took = []
        for text in texts:
            began = perf_counter()
            hits = self._filled.query_points("c", self._model.encode(text).tolist(), limit=10, with_payload=True).points
            took.append(perf_counter() - began)
            if len(hits) != 10:
                raise ValueError(f"{len(hits)} hits")
        return took

    def _encode(self, paths: Sequence[str]) -> np.ndarray:
        """f32 (n, dim), unit."""
        pictures = [Image.open(path) for path in paths]
        made = self._model.encode(pictures, batch_size=BATCH, normalize_embeddings=True, convert_to_tensor=True)
        rows: np.ndarray = made.float().numpy()
        return rows


def _empty(dim: int) -> QdrantClient:
    client = QdrantClient(":memory:")
    client.create_collection("c", models.VectorParams(size=dim, distance=models.Distance.COSINE))
    return client


def _write(client: QdrantClient, first: int, rows: np.ndarray, payloads: Sequence[dict[str, str]]) -> None:
    points = [
        models.PointStruct(id=first + i, vector=row.tolist(), payload=payload)
        for i, (row, payload) in enumerate(zip(rows, payloads, strict=True))
    ]
    client.upsert("c", points)


def load(model: Path, _scratch: Path, variant: str) -> Mapping[str, Job]:
    """Nothing is written."""
    made = Sentences(model, variant)
    return {"vector": made.vector, "ingest": made.ingest, "fill": made.fill, "search": made.search}


if __name__ == "__main__":
    serve(load, ["sentence-transformers", "transformers", "torch", "qdrant-client"])
