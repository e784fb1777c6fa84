"""A sparse channel over WordNet: what a picture shows and what a text names, as weights of visual concepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from core.encoders.efficientnet import CLASSES, RECIPE, Trunk
from core.encoders.labels import digest, lexicon, nodes
from core.encoders.words import concepts_of
from core.errors import NoSpaceFor
from core.spaces import EmbeddingSpace, Metric, Sparse
from core.types import Content, Image, Modality, Text, Wants

TEMPERATURE = 1.5
FAINT = 0.01  # a node less probable than this is not kept
COUNT = 1855

Float = NDArray[np.float32]


@cache
def membership() -> Float:
    """f32 (1000, nodes): 1 where a class is under a node."""
    out = np.zeros((CLASSES, len(nodes().names)), np.float32)
    for node, leaves in enumerate(nodes().leaves):
        out[list(leaves), node] = 1.0
    return out


@cache
def information() -> Float:
    """f32 (nodes,): how much a node tells, 1 for a single class, towards 0 for all (Resnik 1995, classes equal)."""
    out: Float = (1.0 - np.log(membership().sum(0)) / np.log(CLASSES)).astype(np.float32)
    return out


def softmax(logits: Float, temperature: float) -> Float:
    """Row by row."""
    scaled = logits / temperature
    exps = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    out: Float = exps / exps.sum(axis=1, keepdims=True)
    return out


def sparse(weights: Mapping[int, float]) -> Sparse:
    """Without the zeros, by index."""
    kept = sorted((node, weight) for node, weight in weights.items() if weight > 0)
    return Sparse(np.array([n for n, _ in kept], np.uint32), np.array([w for _, w in kept], np.float32))


def unit(vector: Sparse) -> Sparse:
    """Of length 1, when there is anything in it."""
    norm = float(np.linalg.norm(vector.values))
    return Sparse(vector.indices, vector.values / np.float32(norm)) if norm else vector


def named(text: str) -> Sparse:
    """The nodes that the words of a text name, each times its information, so that what is rare decides; of unit
    length; perhaps empty."""
    found = sparse(_sum(concepts_of(lexicon(), text)))
    return unit(Sparse(found.indices, found.values * information()[found.indices]))


@dataclass(frozen=True)
class ConceptsEncoder:
    """Pictures by the probability of each node, texts by the nodes that their words name."""

    trunk: Trunk
    wants = Wants(contents=frozenset({Modality.TEXT, Modality.IMAGE}), pixels=260, squashed=True)

    @cached_property
    def space(self) -> EmbeddingSpace:
        """Sparse over the nodes."""
        return EmbeddingSpace(
            name="concepts",
            model="EfficientNet-Lite2 classes over WordNet 3.0",
            revision=f"{self.trunk.revision}, data {digest('concepts.json.gz', 'english.json.gz', 'chinese.json.gz')}",
            dim=COUNT,
            metric=Metric.DOT,
            modalities=frozenset({Modality.TEXT, Modality.IMAGE}),
            recipe=f"image: {RECIPE}, P(node) >= {FAINT} at temperature {TEMPERATURE}; text: longest match of words",
            sparse=True,
        )

    def encode(self, contents: Sequence[Content]) -> list[Sparse]:
        """Pictures: P(node). Texts: what they name and all it is a kind of, of unit length; perhaps empty."""
        seen = iter(self._pictures([c for c in contents if isinstance(c, Image)]))
        return [next(seen) if isinstance(c, Image) else self._text(c) for c in contents]

    def encode_query(self, query: Content) -> Sparse:
        """Texts: what they name. Pictures: P(node) times its information, of unit length."""
        match query:
            case Image():
                found = self._pictures([query])[0]
                return unit(Sparse(found.indices, found.values * information()[found.indices]))
            case Text(value):
                return named(value)
            case _:
                raise NoSpaceFor("the concepts space embeds texts and images")

    def _pictures(self, images: Sequence[Image]) -> list[Sparse]:
        if not images:
            return []
        likely = softmax(self.trunk.see(images).logits, TEMPERATURE) @ membership()
        rows = []
        for row in likely:
            (kept,) = np.nonzero(row >= FAINT)
            rows.append(Sparse(kept.astype(np.uint32), row[kept]))
        return rows

    def _text(self, content: Content) -> Sparse:
        if not isinstance(content, Text):
            raise NoSpaceFor("the concepts space embeds texts and images")
        whole: dict[int, float] = {}
        for node, weight in _sum(concepts_of(lexicon(), content.value)).items():
            for up in nodes().above[node]:
                whole[up] = max(whole.get(up, 0.0), weight)
        return unit(sparse(whole))


def _sum(parts: Iterable[Mapping[int, float]]) -> dict[int, float]:
    out: dict[int, float] = {}
    for part in parts:
        for node, weight in part.items():
            out[node] = out.get(node, 0.0) + weight
    return out
