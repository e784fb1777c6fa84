"""Photos for benchmarks: sample photos that ship in packages, cut, scaled and grained anew, as camera JPEGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from scripts.demo import inside

Sizes = tuple[tuple[int, int, float], ...]
SIZES: Sizes = ((640, 480, 0.4), (1920, 1080, 0.4), (4000, 3000, 0.2))  # width, height, share
SOURCES = (
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/rocket.jpg",
    "skimage/data/astronaut.png",
)
LANDSCAPES = ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg")


def make_photos(folder: Path, count: int, *, seed: int = 0, of: Sizes = SIZES) -> list[Path]:
    """`count` JPEGs of quality 85 in these sizes, the same for the same seed. Made once."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [PIL.Image.open(inside(name)).convert("RGB") for name in (*SOURCES, *LANDSCAPES)]
    rng = np.random.default_rng(seed)
    sizes = rng.permutation([i for i, (_, _, share) in enumerate(of) for _ in range(round(share * count))])
    made = []
    for i in range(count):
        path = folder / f"{i:05}.jpg"
        made.append(path)
        width, height, _ = of[int(sizes[i % len(sizes)])]
        grain = rng.integers(0, 2**32)
        source = sources[int(rng.integers(len(sources)))]
        left, top = rng.uniform(0, 0.4, 2)
        if path.exists():
            continue
        box = (left * source.width, top * source.height, (left + 0.6) * source.width, (top + 0.6) * source.height)
        scaled = np.asarray(source.resize((width, height), PIL.Image.Resampling.BICUBIC, box=box), np.int16)
        noise = np.random.default_rng(grain).normal(0, 4, (height, width, 1)).astype(np.int16)
        PIL.Image.fromarray(np.clip(scaled + noise, 0, 255).astype(np.uint8)).save(path, quality=85)
    return made
