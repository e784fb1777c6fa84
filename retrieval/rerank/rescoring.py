"""Exact rescoring: the candidates compared with the query by their full vectors, whatever the index was walked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.points import Found, Stored
from core.types import AssetId, Modality
from retrieval.request import Hit, Match
from retrieval.rerank.options import Options
from retrieval.rerank.order import ordered, parted
from retrieval.rerank.vectors import fused_anew, likeness, lists_of, points_of
from retrieval.stages import Asked, AskedVector

DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A stage: what the lists of the search say of the candidates is compared anew, by inner products in float64 of the
    vectors as they were written, and fused as the search does. Matches say the exact scores and ranks, and relevance is
    read off them."""

    name: str = "exact"
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        head, tail = parted(hits, self.depth)
        lists = lists_of(asked)
        found: list[list[Found]] = [[] for _ in lists]
        there: set[AssetId] = set()
        for hit, points in points_of(head, asked):
            for one, held in zip(lists, found, strict=True):
                if (point := nearest_segment(one.asked, one.content, points)) is not None:
                    held.append(point)
                    there.add(hit.asset)
        anew = fused_anew(asked, found)
        before = {hit.asset: hit for hit in head}
        out = [_told(before[hit.asset], hit, asked) for hit in anew.values() if hit.asset in there]
        last = out[-1].score if out else 0.0
        for hit in head:
            if hit.asset not in there or hit.asset not in anew:
                asked.tell(hit, "gone by now")
                out.append(replace(hit, score=last))
        return ordered(out, {hit.asset: hit.score for hit in out}, tail)


def exact(said: Mapping[str, Any]) -> Exact:
    """`depth`. Raises BadQuery."""
    options = Options("exact", said)
    depth = options.depth(DEPTH)
    options.done()
    return Exact(depth=depth)


def nearest_segment(each: AskedVector, content: Modality, points: Sequence[Stored]) -> Found | None:
    """The segment of that content that is nearest; None when there is none, or none that shares a word."""
    some = [point for point in points if point.payload["content"] == content]
    if not some:
        return None
    scores = likeness(each.space, some, [each.vector])[:, 0]
    at = int(np.argmax(scores))
    if not np.isfinite(scores[at]) or (each.space.sparse and scores[at] <= 0):
        return None
    return Found(some[at].id, float(scores[at]), some[at].payload)


def _told(before: Hit, hit: Hit, asked: Asked) -> Hit:
    """The hit as it was, with what is known of it now."""
    moved = [new.score - old.score for new in hit.matches for old in before.matches if _same(new, old)]
    asked.tell(hit, f"scores off by {max(map(abs, moved), default=0.0):.2g} at most")
    relevance = before.relevance if hit.relevance is None else hit.relevance
    return replace(before, score=hit.score, matches=hit.matches, relevance=relevance)


def _same(one: Match, other: Match) -> bool:
    return (one.space, one.content) == (other.space, other.content)
