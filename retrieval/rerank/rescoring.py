"""Exact rescoring: the candidates compared with the query by their full vectors, whatever the index was walked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.points import Stored, span_of
from core.types import AssetId, Modality, Reading
from retrieval.lists import wanted
from retrieval.request import Hit, Match
from retrieval.rerank.options import Options
from retrieval.rerank.order import ordered, parted
from retrieval.rerank.vectors import fuse, likeness, points_of
from retrieval.stages import Asked, AskedVector

DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A stage: every list of the search made anew over the candidates alone, by inner products in float64 of the
    vectors as they were written, and fused as the search does. Matches say the exact scores and ranks."""

    name: str = "exact"
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        head, tail = parted(hits, self.depth)
        lists = wanted(asked.request, asked.index, asked.vectors)
        found: dict[AssetId, list[tuple[str, Match]]] = {hit.asset: [] for hit in head}
        for hit, points in points_of(head, asked):
            for each, content in lists:
                if (match := nearest_segment(each, content, points)) is not None:
                    found[hit.asset].append((f"{each.space.name}/{content}", match))
        scores: dict[str, dict[AssetId, float]] = {}
        for asset, matches in found.items():
            for name, match in matches:
                scores.setdefault(name, {})[asset] = match.score
        weights = {f"{e.space.name}/{c}": asked.request.weights.get(e.space.name, 1.0) for e, c in lists}
        fused = fuse(scores, weights, asked.request.fusion)
        ranks = {name: _ranks(held) for name, held in scores.items()}
        curves = _curves(head)
        out = []
        for hit in head:
            made = tuple(
                replace(match, rank=ranks[name][hit.asset], probability=_read(curves.get(name), match.score))
                for name, match in found[hit.asset]
            )
            moved = [match.score - old.score for match in made for old in hit.matches if _same(match, old)]
            asked.tell(hit, f"scores off by {max(map(abs, moved), default=0.0):.2g} at most" if made else "gone by now")
            out.append(replace(hit, matches=made or hit.matches))
        last = min(fused.values(), default=0.0)
        return ordered(out, {hit.asset: fused.get(hit.asset, last) for hit in out}, tail)


def exact(said: Mapping[str, Any]) -> Exact:
    """`depth`. Raises BadQuery."""
    options = Options("exact", said)
    depth = options.depth(DEPTH)
    options.done()
    return Exact(depth=depth)


def nearest_segment(each: AskedVector, content: Modality, points: Sequence[Stored]) -> Match | None:
    """The segment of that content that is nearest; None when there is none, or none that shares a word."""
    some = [point for point in points if point.payload["content"] == content]
    if not some:
        return None
    scores = likeness(each.space, some, [each.vector])[:, 0]
    at = int(np.argmax(scores))
    if not np.isfinite(scores[at]) or (each.space.sparse and scores[at] <= 0):
        return None
    said = some[at].payload
    return Match(
        space=each.space.name,
        content=content,
        score=float(scores[at]),
        rank=1,
        ordinal=int(said["ordinal"]),
        span=span_of(said),
        source=Reading(source) if (source := said.get("source")) else None,
        text=said.get("text"),
    )


def _ranks(scores: Mapping[AssetId, float]) -> dict[AssetId, int]:
    order = sorted(scores, key=lambda asset: (-scores[asset], str(asset)))
    return {asset: rank for rank, asset in enumerate(order, start=1)}


def _same(one: Match, other: Match) -> bool:
    return (one.space, one.content) == (other.space, other.content)


Curve = tuple[list[float], list[float]]


def _curves(hits: Sequence[Hit]) -> dict[str, Curve]:
    """What is known of scores and probabilities of each list: the map is monotone, so between two it is read off."""
    known: dict[str, set[tuple[float, float]]] = {}
    for hit in hits:
        for match in hit.matches:
            if match.probability is not None:
                known.setdefault(f"{match.space}/{match.content}", set()).add((match.score, match.probability))
    return {name: ([x for x, _ in sorted(held)], [y for _, y in sorted(held)]) for name, held in known.items()}


def _read(curve: Curve | None, score: float) -> float | None:
    return None if curve is None else float(np.interp(score, *curve))
