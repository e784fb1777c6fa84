"""Cross-encoding: the words of a query read together with the words that an asset has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.fields import Fields, FieldType
from core.points import Stored
from core.scores import Scores
from core.types import AssetId
from retrieval.request import Hit, words_of
from retrieval.rerank.options import Options
from retrieval.rerank.order import blended, ordered, parted
from retrieval.rerank.vectors import likeness, points_of
from retrieval.stages import Asked

DEPTH = 50
PASSAGES = 3
NAMES = ("title", "caption", "description", "alt")  # read as text fields are, declared or not

Passage = tuple[str, str]  # where it is from, and its text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cross:
    """A stage: of an asset's passages the one that a cross-encoder finds to answer best (MaxP of Dai and Callan, SIGIR
    2019). The result is `weight` of that log-odds, the earlier score the rest, each from 0 to 1 over these hits.

    An asset without text keeps its earlier score; a query without words, or in a script that the model was not made
    for, the whole order.
    """

    scores: Scores
    fields: Fields
    weight: float = 0.5
    passages: int = PASSAGES
    name: str = "cross-encoder"
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        query = words_of(asked.request.query)
        head, tail = parted(hits, self.depth)
        if query is None or not self.scores.reads(query):
            why = "the query has no words" if query is None else f"{self.scores.model} does not read its script"
            asked.remark(f"{self.name} left the order as it was: {why}")
            for hit in head:
                asked.tell(hit, why)
            return list(hits)
        texts: list[str] = []
        whose: list[tuple[AssetId, str]] = []
        for hit, points in points_of(head, asked):
            for source, text in passages_of(hit, points, self.fields, asked, self.passages):
                texts.append(text)
                whose.append((hit.asset, source))
        odds = self.scores.score(query, texts, asked.check)
        best: dict[AssetId, tuple[float, str]] = {}
        for (asset, source), score in zip(whose, odds.tolist(), strict=True):
            if asset not in best or score > best[asset][0]:
                best[asset] = (score, source)
        for hit in head:
            said = best.get(hit.asset)
            asked.tell(hit, f"cross-encoder {_chance(said[0]):.2f} on {said[1]}" if said else "no text to read")
        scores = blended(head, {asset: score for asset, (score, _) in best.items()}, self.weight)
        return ordered(head, scores, tail)


def cross(scores_of: Callable[[], Scores], fields: Fields, options: Options) -> Cross:
    """`weight`, `passages`, `depth`; the model is asked for when these are right. Raises BadQuery."""
    weight = options.share("weight", 0.5)
    passages, depth = options.count("passages", PASSAGES, 32), options.depth(DEPTH)
    options.done()
    return Cross(scores=scores_of(), fields=fields, weight=weight, passages=passages, depth=depth)


def passages_of(hit: Hit, points: Sequence[Stored], fields: Fields, asked: Asked, most: int) -> list[Passage]:
    """At most so many texts of an asset: first its text fields as one, then of its segments of text (body, writing,
    speech, caption) those nearest to the query. Of a segment the index keeps 500 characters, and so many are read."""
    named = list(_said(hit.metadata, fields))
    out = [(", ".join(name for name, _ in named), ". ".join(text for _, text in named))] if named else []
    worded = [point for point in points if point.payload.get("text")]
    for at in _nearest(worded, asked) if len(worded) > most - len(out) else range(len(worded)):
        said = worded[at].payload
        passage = str(said.get("source") or "text"), str(said["text"])
        if len(out) < most and passage[1].strip() and passage[1] not in {text for _, text in out}:
            out.append(passage)
    return out


def _said(metadata: Mapping[str, Any], fields: Fields) -> Iterator[tuple[str, str]]:
    texts = [name for name, kind in fields.items() if kind is FieldType.TEXT]
    for name in dict.fromkeys((*NAMES, *sorted(texts))):
        held = metadata.get(name)
        if isinstance(held, str) and held.strip():
            yield name, held.strip()


def _nearest(points: Sequence[Stored], asked: Asked) -> list[int]:
    """The points nearest to the query first, in the first dense space that has them; as they lie when there is none."""
    for each in asked.vectors:
        if not each.space.sparse:
            near = likeness(each.space, points, [each.vector])[:, 0]
            if np.isfinite(near).any():
                return [int(at) for at in np.argsort(-near, kind="stable")]
    return list(range(len(points)))


def _chance(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))
