"""`quiver explain` and stages on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.integration.test_cli import Run, call, use_toy


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    return lambda *args: call(monkeypatch, capsys, *args)


def test_a_region_is_told_as_json_and_drawn_as_a_png(run: Run, tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), (0, 0, 200), np.uint8)
    pixels[4:24, 4:24] = (255, 0, 0)
    photos = tmp_path / "photos"
    photos.mkdir()
    PIL.Image.fromarray(pixels).save(photos / "spot.png")
    (photos / "a.txt").write_text("red")
    assert run("ingest", photos, "--collection", "c").status == 0
    png = tmp_path / "region.png"
    said = run("explain", "spot.png", "red", "--collection", "c", "--out", png, "--json").json
    left, top, right, bottom = said["region"]["box"]
    assert left < 0.2 < right < 0.8
    assert top < 0.2 < bottom < 0.8
    assert said["picture"] is None
    with PIL.Image.open(png) as drawn:
        assert drawn.format == "PNG"
    assert "less without the region at" in run("explain", "spot.png", "red", "--collection", "c").out
    PIL.Image.new("RGB", (64, 64), (200, 0, 0)).save(photos / "all.png")
    assert run("ingest", photos, "--collection", "c").status == 0
    assert "the whole picture matches" in run("explain", "all.png", "red", "--collection", "c", "--out", png).out
    with PIL.Image.open(png) as drawn:
        assert drawn.getcolors() == [(64 * 64, (200, 0, 0))]
    assert run("explain", "a.txt", "red", "--collection", "c", "--out", png).status == 2
    shown = run("search", "red", "--collection", "c", "--rerank", "mmr:lambda=1", "--rerank", "late", "--explain").out
    assert "segments" in shown
