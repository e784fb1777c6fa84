"""The vectors that the index keeps of hits, in full, a few assets at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.points import Found, Stored
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import AssetId
from retrieval.asked import asset_of
from retrieval.hits import fused
from retrieval.lists import Ranked, wanted
from retrieval.request import Hit
from retrieval.stages import Asked

ASSETS = 16  # asked for at once: each may have a thousand segments
DIGITS = 6  # of a score: vectors are kept in 32 bits, and say nothing of further ones


def points_of(hits: Sequence[Hit], asked: Asked) -> Iterator[tuple[Hit, list[Stored]]]:
    """Each hit with the points of its newest generation; none for what is gone by now. Raises OutOfTime."""
    for at in range(0, len(hits), ASSETS):
        asked.check()
        some = hits[at : at + ASSETS]
        held: dict[AssetId, list[Stored]] = defaultdict(list)
        for point in asked.store.of_assets(asked.index, [hit.asset for hit in some]):
            held[asset_of(point.payload["asset"])].append(point)
        for hit in some:
            points = held[hit.asset]
            newest = max((point.payload["generation"] for point in points), default=0)
            yield hit, [point for point in points if point.payload["generation"] == newest]


def likeness(space: EmbeddingSpace, points: Sequence[Stored], vectors: Sequence[Vector]) -> NDArray[np.float64]:
    """f64 (points, vectors): the inner products, which of unit vectors are cosines; -inf for points that have no vector
    of the space."""
    out = np.full((len(points), len(vectors)), -np.inf)
    for row, point in enumerate(points):
        held = point.vectors.get(space.vector_name)
        if held is not None:
            out[row] = [_product(held, vector) for vector in vectors]
    return out


def _product(one: Vector, other: Vector) -> float:
    if isinstance(one, Sparse) and isinstance(other, Sparse):
        _, mine, theirs = np.intersect1d(one.indices, other.indices, assume_unique=True, return_indices=True)
        return float(one.values[mine].astype(np.float64) @ other.values[theirs].astype(np.float64))
    return float(np.asarray(one, np.float64) @ np.asarray(other, np.float64))


def lists_of(asked: Asked) -> Sequence[Ranked]:
    """The lists that the hits were made of; those that would be asked for, empty, where nobody knows."""
    return asked.lists or [
        Ranked(each, content, ()) for each, content in wanted(asked.request, asked.index, asked.vectors)
    ]


def fused_anew(asked: Asked, found: Sequence[Sequence[Found] | None]) -> dict[AssetId, Hit]:
    """The hits, best first, as the search makes them, had its lists said of candidates what is found of them now: for
    each of `lists_of` the points, one an asset, or None: the list is left as it is."""
    lists = [
        one if points is None else _compared_anew(one, points) if asked.lists else _list_of(one, points)
        for one, points in zip(lists_of(asked), found, strict=True)
    ]
    return {hit.asset: hit for hit in fused(asked.request, lists, asked.curves)}


def _compared_anew(one: Ranked, points: Sequence[Found]) -> Ranked:
    """Candidates share among them the places that they have in the list: what is not looked at stays in its own. A
    candidate that the list does not have comes in before one that it has, or not at all: there the list ends."""
    now = {point.payload["asset"]: point for point in points}
    places = [at for at, point in enumerate(one.points) if point.payload["asset"] in now]
    there = [one.points[at].payload["asset"] for at in places]
    held = set(there)
    both = [*there, *(asset for asset in now if asset not in held)]
    order = sorted(both, key=lambda asset: -round(now[asset].score, DIGITS))  # what ties stays as it stood
    while order and order[-1] not in held:
        order.pop()
    out = list(one.points)
    for at, asset in zip(places, order, strict=False):
        out[at] = now[asset]
    if places:
        after = places[-1] + 1
        out[after:after] = [now[asset] for asset in order[len(places) :]]
    return Ranked(one.asked, one.content, out)


def _list_of(one: Ranked, points: Sequence[Found]) -> Ranked:
    return Ranked(one.asked, one.content, sorted(points, key=lambda point: (-point.score, point.id.int)))
