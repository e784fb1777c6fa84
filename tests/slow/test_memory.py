"""A worker's memory is flat: what indexing one asset takes is given back."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path

import pytest

from core.stores.spawn import spawn
from core.types import Tenant
from ingest.sources.paths import items
from tests.doubles import toy_parts
from tests.photos import photo
from workers.collections import ensure
from workers.intake import register
from workers.lanes import Lanes

pytestmark = pytest.mark.slow
ASSETS, STEP = 20_000, 4_000


def anonymous() -> int:
    """Bytes of this process that no file backs; the engine's files come and go as the kernel likes."""
    gc.collect()
    return int(re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024


@pytest.mark.timeout(1800)
def test_memory_is_flat_over_20_000_assets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    store = spawn(tmp_path / "data" / "edge")  # the index, which does grow with its points, is in another process
    parts = toy_parts(tmp_path / "data", decode="cage", decode_recycle=500, store="process")
    made = ensure(parts, "c")
    sizes: list[int] = []
    for begin in range(0, ASSETS, STEP):
        folder = tmp_path / f"files-{begin}"
        folder.mkdir()
        for i in range(begin, begin + STEP):
            if i % 4:
                (folder / f"{i}.txt").write_text(f"red {i}")
            else:
                (folder / f"{i}.jpg").write_bytes(photo(seed=i))
        with Lanes(parts) as lanes:
            register(parts, Tenant("default"), made, items([folder]), lanes.submit)
        assert lanes.tally.indexed == STEP
        sizes.append(anonymous())
    parts.close()
    store.stop()
    with capsys.disabled():
        sys.stdout.write("\nMiB after every 4,000 assets: " + " ".join(f"{s / 2**20:.1f}" for s in sizes) + "\n")
    per_asset = (sizes[-1] - sizes[1]) / (ASSETS - 2 * STEP)
    assert per_asset < 300, f"{per_asset:.0f} bytes stay behind for every asset: {sizes}"
