"""What all stages share: the hits they look at, what of the earlier score stays, and one total order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.types import AssetId
from retrieval.request import Hit


def parted(hits: Sequence[Hit], depth: int) -> tuple[Sequence[Hit], Sequence[Hit]]:
    """The hits that a stage looks at, and those after them, which stay behind."""
    return hits[:depth], hits[depth:]


def normal(values: Sequence[float]) -> list[float]:
    """On a scale from 0, the least of them, to 1; all 0 when they are one value."""
    least, most = min(values, default=0.0), max(values, default=0.0)
    wide = most - least
    if not wide > 0 or not math.isfinite(wide):
        return [0.0] * len(values)
    return [(value - least) / wide for value in values]


def blended(head: Sequence[Hit], made: Mapping[AssetId, float], weight: float) -> dict[AssetId, float]:
    """What a stage made of hits and their earlier scores, each from 0 to 1 over these hits, as
    `weight` x made + (1 - `weight`) x earlier: a convex combination (Bruch, Gai and Ingber 2023, arXiv 2210.11934).

    A hit that the stage says nothing of keeps its earlier score, as if both said the same.
    """
    earlier = dict(zip((hit.asset for hit in head), normal([hit.score for hit in head]), strict=True))
    said = dict(zip(made, normal(list(made.values())), strict=True))
    return {asset: weight * said.get(asset, score) + (1 - weight) * score for asset, score in earlier.items()}


def ordered(head: Sequence[Hit], scores: Mapping[AssetId, float], tail: Sequence[Hit] = ()) -> list[Hit]:
    """The hits by their new scores, ties as they stood; then the others as they stood, none above these in score."""
    first = sorted((replace(hit, score=scores[hit.asset]) for hit in head), key=lambda hit: -hit.score)
    if not first or not tail:
        return [*first, *tail]
    over = max(0.0, tail[0].score - first[-1].score)
    return [*first, *(replace(hit, score=min(first[-1].score, hit.score - over)) for hit in tail)]
