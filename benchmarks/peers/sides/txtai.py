"""txtai: pictures through sentence-transformers, into its own index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image
from txtai import Embeddings

from benchmarks.peers.serve import Job, serve


class Txtai:
    """The jobs."""

    def __init__(self, folder: Path) -> None:
        self._said = {"method": "sentence-transformers", "path": str(folder), "gpu": False}
        self._models: dict[str, object] = {}  # txtai keeps loaded models here, shared by its indexes

    def vector(self, path: str) -> list[float]:
        """Of one photo."""
        return [float(x) for x in self._made().transform(Image.open(path))]

    def ingest(self, paths: Sequence[str]) -> int:
        """Into a fresh index; how many it holds."""

        def rows() -> Iterator[tuple[str, Image.Image]]:
            for path in paths:
                yield path, Image.open(path)

        made = self._made()
        made.index(rows())
        return int(made.count())

    def _made(self) -> Embeddings:
        return Embeddings(self._said, models=self._models)


def load(model: Path, _scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Nothing is written."""
    made = Txtai(model)
    return {"vector": made.vector, "ingest": made.ingest}


if __name__ == "__main__":
    serve(load, ["txtai", "sentence-transformers", "transformers", "torch", "faiss-cpu"])
