"""Late interaction: every part of the query against every segment of a candidate (MaxSim of Khattab and Zaharia,
ColBERT, SIGIR 2020, over the vectors that an index keeps: of segments, not of tokens)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from core.points import Found
from core.ports import EncoderOf
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import AssetId, Content, Modality, Text
from retrieval.request import Hit, InSpace, Like, Mixture, Part, Query, Single
from retrieval.rerank.options import Options
from retrieval.rerank.order import blended, ordered, parted
from retrieval.rerank.vectors import fused_anew, likeness, lists_of, points_of
from retrieval.stages import Asked

DEPTH = 50
MOST = 32  # parts of a query
WORDS, CHARS = 24, 160  # of a part of a text at most
_SENTENCE = re.compile(r"[^.!?。！？;；\n]+[.!?。！？;；\n]*")

Weighted = tuple[float, Vector]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Late:
    """A stage: in each dense space and for each kind of content, sum over the query's parts of weight x the cosine to
    the nearest segment, over the sum of weights; these lists, and those of words as they were, are fused as the search
    does, and the result is `weight` of the new score, the earlier one the rest.

    Parts are: sentences of a text, cut into windows where they are long; parts of a mixture, as the pictures of a film;
    the segments of an asset that is to be resembled. A query of one part asks for nothing new of a hit but its nearest
    segment, exactly compared.
    """

    encoder_of: EncoderOf
    weight: float = 0.5
    name: str = "late"
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        head, tail = parted(hits, self.depth)
        lists = lists_of(asked)
        dense = list(dict.fromkeys((one.space, one.content) for one in lists if not one.space.sparse))
        parts = {space: self._parts(space, asked) for space, _ in dense}
        found: dict[tuple[EmbeddingSpace, Modality], list[Found]] = {pair: [] for pair in dense}
        for hit, points in points_of(head, asked):
            told = []
            for space, content in dense:
                some = [point for point in points if point.payload["content"] == content]
                score = maxsim(space, some, parts[space])
                if score is not None:
                    found[space, content].append(Found(some[0].id, score, some[0].payload))
                    told.append(f"{space.name}/{content} {score:.3f}")
            counts = "/".join(str(len(parts[space])) for space in parts)
            asked.tell(
                hit, f"{counts} parts x {len(points)} segments: {', '.join(told)}" if told else "no such vectors"
            )
        anew = fused_anew(asked, [found.get((one.space, one.content)) for one in lists])
        scores = {hit.asset: anew[hit.asset].score for hit in head if hit.asset in anew}
        return ordered(head, blended(head, scores, self.weight), tail)

    def _parts(self, space: EmbeddingSpace, asked: Asked) -> list[Weighted]:
        """The vectors of the query's parts in a space, with their weights; the query itself when it has no parts."""
        out: list[Weighted] = []
        for part in parts_of(asked.request.query):
            asked.check()
            out += [(part.weight, vector) for vector in self._vectors(part.what, space, asked)]
        return out[:MOST] or [(1.0, each.vector) for each in asked.vectors if each.space == space]

    def _vectors(self, what: Single, space: EmbeddingSpace, asked: Asked) -> list[Vector]:
        match what:
            case InSpace(space=name, vector=vector):
                if isinstance(vector, Sparse) or name not in (space.name, space.vector_name):
                    return []
                length = max(float(np.linalg.norm(vector)), 1e-30)
                return [np.asarray(vector / length, np.float32)]
            case Like(asset=UUID() as asset):
                points = asked.store.of_assets(asked.index, [AssetId(asset)])
                held = [v for point in points if (v := point.vectors.get(space.vector_name)) is not None]
                return held[:: -(-len(held) // MOST) or 1]
            case Like():
                return []
            case Text(value):
                pieces: list[Content] = [Text(piece) for piece in sentences(value)]
            case _:
                pieces = [what]
        return list(self.encoder_of(space).encode_queries([one for one in pieces if one.modality in space.modalities]))


def late(encoder_of: EncoderOf, said: Mapping[str, Any]) -> Late:
    """`weight`, `depth`. Raises BadQuery."""
    options = Options("late", said)
    weight, depth = options.share("weight", 0.5), options.depth(DEPTH)
    options.done()
    return Late(encoder_of=encoder_of, weight=weight, depth=depth)


def maxsim(space: EmbeddingSpace, points: Sequence[Any], parts: Sequence[Weighted]) -> float | None:
    """The weighted mean over the parts of the likeness to the nearest of the points; None without points or parts."""
    if not points or not parts:
        return None
    nearest = likeness(space, points, [vector for _, vector in parts]).max(axis=0)
    weights = np.array([weight for weight, _ in parts])
    return float(nearest @ weights / np.abs(weights).sum()) if np.isfinite(nearest).all() else None


def parts_of(query: Query) -> tuple[Part, ...]:
    """What a query is made of; one that is no mixture is one part."""
    return query.parts if isinstance(query, Mixture) else (Part(query),)


def sentences(text: str) -> list[str]:
    """A text in pieces of at most WORDS words and CHARS characters, at most MOST of them, evenly taken."""
    found = [piece for sentence in _SENTENCE.findall(text) for piece in _windows(sentence.strip()) if piece]
    made = found or [text]
    return made[:: -(-len(made) // MOST)]


def _windows(sentence: str) -> Iterator[str]:
    words = sentence.split()
    for at in range(0, len(words), WORDS):
        piece = " ".join(words[at : at + WORDS])
        yield from (piece[start : start + CHARS] for start in range(0, len(piece), CHARS))
