"""A ViT-B/32 of CLIP on a GPU, in each precision, beside the same in float32 on the processor.

    python -m benchmarks.gpu [--images N] [--texts N]

The weights are drawn at random (`benchmarks.peers.checkpoint`): they cost what the real ones cost, and tell pictures
apart by little, so the cosine is taken without the mean, too. A tower is given rows that are prepared; an encoder is
given pictures of 320 x 240 and resizes them on the processor, in one lane and in as many as there are cores. At last
the process is left so little of the GPU's memory that the first forward does not fit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.load import cores
from benchmarks.peers.checkpoint import checkpoint
from benchmarks.phrases import phrase
from core.encoders.fast import fidelity
from core.encoders.gpu import ROWS, Fitting
from core.encoders.machine import Device, Precision, prefer
from core.encoders.models import ModelEncoder, of_folder
from core.encoders.towers import Float
from core.types import Content, Image, Text

OUT = Path("docs/benchmarks/gpu.json")
HELD = 128  # rows that are computed on the processor, too
BATCH = 512  # contents that a lane encodes at once
TIGHT = 192 << 20  # bytes of the GPU's memory over what weights take, at last


def pictures(count: int) -> list[Image]:
    """Noise of few colours, each another."""
    random = np.random.default_rng(7)
    small = random.integers(0, 256, (count, 12, 16, 3), np.uint8)
    return [Image(one.repeat(20, axis=0).repeat(20, axis=1)) for one in small]


def loaded(folder: Path, device: Device, precision: Precision) -> ModelEncoder:
    """The encoder, its weights loaded."""
    prefer(device, precision)
    encoder = of_folder(folder)
    encoder._loaded()
    return encoder


def rate(encoder: ModelEncoder, contents: Sequence[Content], lanes: int) -> float:
    """Contents a second, by so many threads."""
    parts = [contents[at : at + BATCH] for at in range(0, len(contents), BATCH)]
    with ThreadPoolExecutor(lanes) as pool:
        began = perf_counter()
        made = sum(len(rows) for rows in pool.map(encoder.encode, parts))
        return made / (perf_counter() - began)


def tower_rate(encoder: ModelEncoder, images: Sequence[Image]) -> float:
    """Prepared pictures a second through the tower alone, after it has found its size."""
    picture, tower = encoder.checkpoint.design.picture, encoder._loaded().images
    assert picture is not None
    assert tower is not None
    rows = np.stack([picture.prepare(image) for image in images[:BATCH]])
    given = np.concatenate([rows] * (len(images) // len(rows)))
    for _ in range(12):
        tower(given)
    began = perf_counter()
    for _ in range(3):
        tower(given)
    return 3 * len(given) / (perf_counter() - began)


def unlike(rows: Float, reference: Float) -> dict[str, float]:
    """How far from the reference."""
    worst, apart = fidelity({"-": reference}, {"-": rows})
    return {"least_cosine": worst, "without_mean": apart}


def on_gpu(folder: Path, precision: Precision, images: list[Image], texts: list[Text], held: dict[str, Float]) -> Any:
    """The figures of one precision."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    encoder = loaded(folder, "cuda", precision)
    towers = encoder._loaded()
    made: dict[str, Any] = {
        "how": dict(towers.how),
        "tower_images_per_s": tower_rate(encoder, images),
        "images": unlike(encoder.encode(images[:HELD]), held["images"]),
        "texts": unlike(encoder.encode(texts[:HELD]), held["texts"]),
    }
    for lanes in (1, min(8, cores())):
        rate(encoder, texts, lanes)  # warm, and of the size that is fastest
        made[f"images_per_s_{lanes}"] = rate(encoder, images, lanes)
        made[f"texts_per_s_{lanes}"] = rate(encoder, texts, lanes)
    assert isinstance(towers.images, Fitting)
    return made | {"rows_at_once": towers.images.rows(), "peak_mib": torch.cuda.max_memory_allocated() >> 20}


def tight(folder: Path, images: list[Image], held: Float) -> dict[str, Any]:
    """With too little memory for the first forward: what is asked for at once then, and how far the rows are off."""
    encoder = loaded(folder, "cuda", "float32")
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + TIGHT) / whole)
    rows = encoder.encode(images[:HELD] * 4)
    torch.cuda.set_per_process_memory_fraction(1.0)
    tower = encoder._loaded().images
    assert isinstance(tower, Fitting)
    return {"first": ROWS, "rows_at_once": tower.rows(), **unlike(rows, np.concatenate([held] * 4))}


def section(said: dict[str, Any]) -> str:
    """Of the page of benchmarks."""
    lanes, tight = said["lanes"], said["tight"]
    asked = "tower, images", "1 lane, images", f"{lanes} lanes, images", f"{lanes} lanes, texts"
    columns = "precision", *asked, "rows at once", "least cosine", "without the mean"
    rows: list[tuple[str, ...]] = [columns, ("---",) * len(columns)]
    for name, one in said["precisions"].items():
        per_s = (one[key] for key in ("tower_images_per_s", "images_per_s_1", f"images_per_s_{lanes}"))
        rates = *(f"{rate:,.0f}" for rate in per_s), f"{one[f'texts_per_s_{lanes}']:,.0f}"
        images = one["images"]
        near = f"{images['least_cosine']:.5f}", f"{images['without_mean']:.4f}"
        rows.append((name, *rates, str(one["rows_at_once"]), *near))
    return f"""
## On a GPU

`python -m benchmarks.gpu`: a ViT-B/32 of CLIP with random weights on one {said["gpu"]} and {said["cores"]} cores,
{said["images"]:,} pictures of 320x240 and {said["texts"]:,} short texts; figures are a second. The tower alone is given
prepared pictures; lanes resize them first, on the processor, which is what bounds them then. How many rows a forward
has is found by trying. One lane of the processor alone, in float32: {said["reference_images_per_s"]:.0f} images. Where
memory is too small for the first {tight["first"]} rows, {tight["rows_at_once"]} are taken and none is lost.

""" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Print and write the figures."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--images", type=int, default=8192)
    args.add_argument("--texts", type=int, default=16384)
    said = args.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch reaches no GPU here: this benchmark needs one, and torch's CUDA build")
    folder = checkpoint(Path(".cache/bench/vit-b32"))
    images, texts = pictures(said.images), [Text(phrase(n * 97)) for n in range(said.texts)]
    reference = loaded(folder, "cpu", "float32")
    held = {"images": reference.encode(images[:HELD]), "texts": reference.encode(texts[:HELD])}
    slow = rate(reference, images[:HELD], 1)
    rows: dict[str, Any] = {}
    precisions: tuple[Precision, ...] = ("float32", "float16", "bfloat16")
    for precision in precisions:
        rows[precision] = on_gpu(folder, precision, images, texts, held)
        print(precision, json.dumps(rows[precision]), flush=True)
    result = {
        "gpu": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "cores": cores(),
        "lanes": min(8, cores()),
        "images": said.images,
        "texts": said.texts,
        "reference_images_per_s": slow,
        "precisions": rows,
        "tight": tight(folder, images, held["images"]),
    }
    print(json.dumps(result, indent=1))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
