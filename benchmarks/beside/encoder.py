"""A space for vectors that are made elsewhere: nothing is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import Defect
from core.spaces import Dense, EmbeddingSpace, Metric
from core.types import Content, Modality

PROFILE = "vectors"
SPACE = EmbeddingSpace(
    name="bench",
    model="none",
    revision="1",
    dim=512,
    metric=Metric.COSINE,
    modalities=frozenset({Modality.TEXT}),
    recipe="",
)


@dataclass(frozen=True, slots=True)
class Vectors:
    """An encoder that is never asked."""

    space: EmbeddingSpace = SPACE

    def encode(self, contents: Sequence[Content]) -> Dense:
        """Raises Defect."""
        raise Defect(f"{len(contents)} contents were to be encoded: this benchmark searches by vectors")
