"""The vectors that the index keeps of hits, in full, a few assets at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.points import Stored
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import AssetId
from retrieval.asked import asset_of
from retrieval.fusion import dbsf, rrf
from retrieval.request import Fusion, Hit
from retrieval.stages import Asked

ASSETS = 16  # asked for at once: each may have a thousand segments


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


def fuse(
    lists: Mapping[str, Mapping[AssetId, float]], weights: Mapping[str, float], how: Fusion | None
) -> dict[AssetId, float]:
    """One score an asset out of its scores in several lists, as the search fuses them: by rank, or, when another fusion
    is asked for, by scores put on one scale."""
    scored = {
        name: sorted(((str(asset), score) for asset, score in held.items()), key=lambda each: (-each[1], each[0]))
        for name, held in lists.items()
    }
    if how in (None, Fusion.RRF):
        order = rrf({name: [asset for asset, _ in held] for name, held in scored.items()}, weights)
    else:
        order = dbsf(scored, weights)
    return {asset_of(asset): score for asset, score in order}
