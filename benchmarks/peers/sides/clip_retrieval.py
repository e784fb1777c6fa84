"""clip-retrieval: its `inference` from a folder of files to .npy files; no index is made."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from clip_retrieval.clip_inference.main import main as inference

from benchmarks.peers.serve import Job, serve

BATCH = 32
WORKERS = 2  # processes that decode; one a core of the smallest machine that this runs on


class ClipRetrieval:
    """The jobs. Its model is loaded once: all_clip keeps what it loaded."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._model, self._scratch = f"hf_clip:{folder}", scratch

    def vector(self, path: str) -> list[float]:
        """Of one photo."""
        alone = self._scratch / "alone"
        shutil.rmtree(alone, ignore_errors=True)
        alone.mkdir(parents=True)
        (alone / "photo.jpg").symlink_to(path)
        [row] = self._encode(alone)
        return [float(x) for x in row]

    def ingest(self, paths: Sequence[str]) -> int:
        """The folder that the paths are all of; how many vectors were written."""
        return len(self._encode(Path(paths[0]).parent))

    def _encode(self, folder: Path) -> np.ndarray:
        out = self._scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        inference(
            str(folder),
            str(out),
            clip_model=self._model,
            batch_size=BATCH,
            num_prepro_workers=WORKERS,
            enable_text=False,
        )
        return np.load(out / "img_emb" / "img_emb_0.npy")


def load(model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Files in `scratch`."""
    made = ClipRetrieval(model, scratch)
    return {"vector": made.vector, "ingest": made.ingest}


if __name__ == "__main__":
    serve(load, ["clip-retrieval", "all-clip", "transformers", "torch"])
