"""Which region of a picture an answer rests on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spaces import Dense, EmbeddingSpace, Metric
from core.types import Image, Modality
from ingest.decode.overlay import SIDE, overlay
from retrieval.regions import covered, occlusion, region_of, windows


def spot(size: int, top: int, left: int, side: int, colour: tuple[int, int, int] = (255, 0, 0)) -> Image:
    """A square of a colour on grey."""
    pixels = np.full((size, size, 3), 90, np.uint8)
    pixels[top : top + side, left : left + side] = colour
    return Image(pixels)


def redness(image: Image) -> float:
    pixels = image.pixels.astype(np.float64)
    return float((pixels[..., 0] - pixels[..., 1]).mean() / 255)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(3, 10))
def test_the_box_holds_the_middle_of_what_makes_the_score(top: int, left: int, grid: int) -> None:
    image = spot(80, top, left, 12)
    found = region_of("red", redness(image), np.array([redness(one) for one in covered(image.pixels, grid)]), grid)
    assert found.box is not None
    x, y = (left + 6) / 80, (top + 6) / 80
    slack = 1 / grid
    assert found.box[0] - slack <= x <= found.box[2] + slack
    assert found.box[1] - slack <= y <= found.box[3] + slack
    assert found.drop > 0
    assert (len(found.drops), len(found.drops[0])) == (grid, grid)


def test_every_cell_is_covered_and_no_picture_is_changed_beyond_its_window() -> None:
    image = Image(np.random.default_rng(0).integers(0, 256, (21, 35, 3), np.uint8))
    before = image.pixels.copy()
    made = list(covered(image.pixels, 7))
    assert len(made) == len(windows(7)) == 36
    assert (image.pixels == before).all()
    changed = np.array([(one.pixels != before).any(axis=2) for one in made])
    assert changed.any(axis=0).mean() > 0.99
    assert changed[0].sum() <= 6 * 10
    assert changed[0][:6, :10].mean() > 0.9


def test_where_covering_costs_nothing_there_is_no_region() -> None:
    found = region_of("s", 0.5, np.array([0.5, 0.7, 0.6, 0.5]), 3)
    assert (found.box, found.drop <= 0) == (None, True)


def test_what_costs_next_to_nothing_is_no_region() -> None:
    assert region_of("s", 0.74, np.array([0.7375, 0.74, 0.75, 0.74]), 3).box is None
    assert region_of("s", 0.74, np.array([0.70, 0.74, 0.74, 0.74]), 3).box is not None
    assert region_of("s", -0.5, np.array([-0.51, -0.5, -0.5, -0.5]), 3).box is None


class Sees:
    """How red a picture is."""

    space = EmbeddingSpace(
        name="red",
        model="toy",
        revision="1",
        dim=1,
        metric=Metric.DOT,
        modalities=frozenset({Modality.IMAGE}),
        recipe="mean",
    )

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, images: Sequence[Image]) -> Dense:
        self.asked += len(images)
        return np.array([[redness(image)] for image in images], np.float32)


@pytest.mark.parametrize(
    ("image", "grid", "asked"),
    [(spot(80, 5, 5, 12), 7, 37), (spot(80, 8, 8, 64), 4, 37 + 9), (spot(80, 0, 0, 80), None, 37 + 9)],
    ids=["a spot", "what is large", "what fills it"],
)
def test_what_is_large_is_looked_for_by_larger_parts_and_of_what_fills_it_the_whole_matches(
    image: Image, grid: int | None, asked: int
) -> None:
    sees: Any = Sees()
    found = occlusion(sees, np.ones(1, np.float32), image, 7)
    assert (found.grid if found.box else None) == grid
    assert sees.asked == asked


def test_regions_apart_are_not_one_box() -> None:
    drops = np.zeros((5, 5))
    scores = [1.0 if down.start in (0, 3) and across.start == down.start else 0.0 for down, across in windows(5)]
    found = region_of("s", 1.0, 1.0 - np.array(scores), 5)
    assert found.box in ((0.0, 0.0, 0.4, 0.4), (0.6, 0.6, 1.0, 1.0))
    assert drops.shape == (5, 5)


@pytest.mark.parametrize("size", [(1, 1), (50, 900), (1200, 800)])
def test_the_overlay_is_a_picture_of_the_same_shape_red_where_it_matters(size: tuple[int, int]) -> None:
    image = Image(np.full((*size, 3), 100, np.uint8))
    made = PIL.Image.open(io.BytesIO(overlay(image, [[1.0, 0.0], [-1.0, 0.0]], (0.0, 0.0, 0.5, 0.5))))
    assert made.format == "PNG"
    assert max(made.size) <= SIDE
    assert made.width / made.height == pytest.approx(size[1] / size[0], rel=0.05)
    if min(size) > 100:
        pixels = np.asarray(made).astype(int)
        near, far = pixels[made.height // 4, made.width // 4], pixels[-20, -20]
        assert near[0] - near[1] > 50
        assert (far == 100).all()
