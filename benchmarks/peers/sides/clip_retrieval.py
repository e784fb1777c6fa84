"""clip-retrieval: its inference worker, from a folder of files to .npy files; no index is made. Its `inference` command
adds a process that prints statistics and is waited for by the second, which would count against it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.serve import Job, serve

# The registry's torchvision is built for CUDA: beside a torch for CPUs its operators do not load, and its import stops
# at the names of two that nobody here calls.
_operators: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call] # not typed by torch
for _name in ("nms", "qnms"):
    _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

BATCH = 32
WORKERS = 2  # processes that decode; one a core of the smallest machine that this runs on

from clip_retrieval.clip_inference.worker import worker  # noqa: E402 - after the names


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
        worker(
            [0],
            str(folder),
            str(out),
            1,
            clip_model=self._model,
            batch_size=BATCH,
            num_prepro_workers=WORKERS,
            enable_text=False,
            use_jit=False,
        )
        rows: np.ndarray = np.load(out / "img_emb" / "img_emb_0.npy")
        return rows


def load(model: Path, scratch: Path, _variant: str) -> Mapping[str, Job]:
    """Files in `scratch`."""
    made = ClipRetrieval(model, scratch)
    return {"vector": made.vector, "ingest": made.ingest}


if __name__ == "__main__":
    serve(load, ["clip-retrieval", "all-clip", "transformers", "torch"])
