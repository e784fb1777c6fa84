"""A worker's memory is flat: what indexing one asset takes is given back, by it and by the children that decode."""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.encoders.registry import Encoders
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.stores.spawn import spawn
from core.types import Tenant
from ingest.sources.paths import items
from tests.doubles import toy
from tests.slow.resident import resident
from workers.collections import ensure
from workers.intake import register
from workers.lanes import Lanes

pytestmark = pytest.mark.slow
STEPS = 6
MOST = 4096  # bytes that may stay behind for an asset: fewer than its vectors have


def distinct(seed: int) -> bytes:
    """A JPEG of 640 x 480, like no other: what has vectors already is not decoded again."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(patches.repeat(80, axis=0).repeat(80, axis=1)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("profile", "assets", "every"), [("packaged", 6_000, 1), ("toy", 21_000, 4)], ids=["packaged", "toy"]
)
def test_memory_is_flat_however_many_assets_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: str, assets: int, every: int
) -> None:
    """Every so manieth is a picture that a child decodes, the others are texts."""
    (tmp_path / "data").mkdir()
    store = spawn(tmp_path / "data" / "edge")  # the index, which does grow with its points, is in another process
    said = load_settings(data=tmp_path / "data", profile=profile, lanes=2, decode="cage", store="process")
    parts = Parts(said, Encoders({"toy": toy}))
    made = ensure(parts, "c")
    step = assets // STEPS
    sizes: list[int] = []
    for begin in range(0, assets, step):
        folder = tmp_path / f"files-{begin}"
        folder.mkdir()
        for i in range(begin, begin + step):
            if i % every:
                (folder / f"{i}.txt").write_text(f"red {i}")
            else:
                (folder / f"{i}.jpg").write_bytes(distinct(i))
        with Lanes(parts) as lanes:
            register(parts, Tenant("default"), made, items([folder]), lanes.submit)
        assert lanes.tally.indexed == step
        gc.collect()
        sizes.append(resident(os.getpid()).rss - resident(store.pid).rss)
    kept = resident(store.pid).rss
    parts.close()
    store.stop()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{profile}: MiB of this process and its decoders after every {step:,} assets: "
            + " ".join(f"{size / 2**20:.1f}" for size in sizes)
            + f"; of the store at the end: {kept / 2**20:.1f}\n"
        )
    per_asset = (sizes[-1] - sizes[1]) / (assets - 2 * step)
    assert per_asset < MOST, f"{per_asset:.0f} bytes stay behind for every asset: {sizes}"
