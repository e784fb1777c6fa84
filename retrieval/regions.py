"""Which region of a picture an answer rests on: occlusion sensitivity (Zeiler and Fergus, ECCV 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from core.ports import Encoder
from core.spaces import Vector
from core.types import Image, Modality, Pixels
from retrieval.request import Match

LEAST_GRID, MOST_GRID, GRID = 2, 12, 7
BATCH = 8  # pictures in memory at once
WINDOW = 2  # cells that are covered at once, each way: one alone covers too little to matter
COARSE = 4  # cells each way, where a finer grid says nothing: a quarter of the picture is covered at once
LEAST = 0.05  # of the score: what costs less is no reason for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """How much of the score is lost where a picture is covered.

    `drops` are rows of cells from the top, each the mean over the windows that cover the cell. `box`, of the region
    that matters most, is left, top, right, bottom as shares of width and height; None where none costs LEAST of the
    score: the whole picture matches.
    """

    space: str
    score: float  # of the whole picture
    grid: int  # cells each way
    drops: tuple[tuple[float, ...], ...]
    drop: float  # the largest
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why a query finds an asset: its nearest segment in each space, and of a picture the region."""

    asset: UUID
    external_id: str
    modality: Modality
    matches: tuple[Match, ...]  # one a space and kind of content, compared exactly; none of an asset not yet indexed
    region: Region | None = None
    picture: bytes | None = None  # the region as a PNG: what matters is red, its box is drawn


def windows(grid: int) -> list[tuple[slice, slice]]:
    """The cells that are covered together, as rows and columns of a grid."""
    steps = range(grid - WINDOW + 1)
    return [(slice(row, row + WINDOW), slice(column, column + WINDOW)) for row in steps for column in steps]


def covered(pixels: Pixels, grid: int) -> Iterator[Image]:
    """The picture once for each window, its pixels there in the mean colour of the whole."""
    height, width = pixels.shape[:2]
    mean = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    rows, columns = (np.linspace(0, side, grid + 1).round().astype(int) for side in (height, width))
    for down, across in windows(grid):
        out = pixels.copy()
        out[rows[down.start] : rows[down.stop], columns[across.start] : columns[across.stop]] = mean
        yield Image(out)


def occlusion(encoder: Encoder, vector: Vector, image: Image, grid: int) -> Region:
    """The region of a picture, by the inner product of a query's dense vector with the picture's, whole and with each
    window covered; of what fills the picture by larger windows. Raises what encoders raise."""

    def scores(images: Sequence[Image]) -> list[float]:
        rows = np.asarray(encoder.encode(images), np.float64) @ np.asarray(vector, np.float64)
        return [float(score) for score in rows]

    def region(cells: int) -> Region:
        some, without = covered(image.pixels, cells), list[float]()
        while batch := list(islice(some, BATCH)):
            without += scores(batch)
        return region_of(encoder.space.name, whole, np.array(without), cells)

    [whole] = scores([image])
    found = region(grid)
    if found.box is None and grid > COARSE:
        larger = region(COARSE)
        return found if larger.box is None else larger
    return found


def region_of(space: str, score: float, without: NDArray[Any], grid: int) -> Region:
    """From the score of the whole, and f64 (windows,) with each window covered, in the order of `windows`."""
    total, count = np.zeros((grid, grid)), np.zeros((grid, grid))
    for (down, across), value in zip(windows(grid), without, strict=True):
        total[down, across] += score - float(value)
        count[down, across] += 1
    drops = total / count
    return Region(
        space=space,
        score=score,
        grid=grid,
        drops=tuple(tuple(float(drop) for drop in row) for row in drops),
        drop=float(drops.max()),
        box=_box(drops) if drops.max() >= LEAST * abs(score) else None,
    )


def _box(drops: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """Around the cells that lose at least half of the most, joined to the one that loses it."""
    if not drops.max() > 0:
        return None
    strong = drops >= drops.max() / 2
    start = np.unravel_index(int(np.argmax(drops)), drops.shape)
    inside, todo = set[tuple[int, int]](), [(int(start[0]), int(start[1]))]
    while todo:
        row, column = todo.pop()
        there = 0 <= row < len(drops) and 0 <= column < len(drops) and bool(strong[row, column])
        if there and (row, column) not in inside:
            inside.add((row, column))
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    rows, columns = zip(*inside, strict=True)
    size = len(drops)
    return min(columns) / size, min(rows) / size, (max(columns) + 1) / size, (max(rows) + 1) / size
