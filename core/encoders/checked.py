"""An encoder whose promises are checked on every call: the one place where shape, order and length are enforced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from core.errors import BadPoint, EncoderBroke, Fault, NoSpaceFor
from core.points import check_vectors
from core.ports import Encoder
from core.spaces import EmbeddingSpace, Sparse, Vector, Vectors
from core.types import Content


class Checked:
    """Wraps an encoder. Raises NoSpaceFor for content it cannot embed, EncoderBroke when it breaks its promise."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner

    @property
    def space(self) -> EmbeddingSpace:
        """Port."""
        return self._inner.space

    @property
    def pixels(self) -> int:
        """Port."""
        return self._inner.pixels

    def encode(self, contents: Sequence[Content]) -> Vectors:
        """Port."""
        self._ask(contents)
        with _translated(self.space):
            vectors = self._inner.encode(contents)
        if len(vectors) != len(contents):
            raise EncoderBroke(f"{self.space.name}: {len(contents)} contents, {len(vectors)} vectors")
        self._check(vectors)
        return vectors

    def encode_query(self, query: Content) -> Vector:
        """Port."""
        self._ask([query])
        with _translated(self.space):
            vector = self._inner.encode_query(query)
        self._check([vector] if isinstance(vector, Sparse) else np.asarray(vector)[None])
        return vector

    def _ask(self, contents: Sequence[Content]) -> None:
        for content in contents:
            if content.modality not in self.space.modalities:
                raise NoSpaceFor(f"{self.space.name} embeds {', '.join(sorted(self.space.modalities))} only")

    def _check(self, vectors: Vectors) -> None:
        try:
            check_vectors(self.space, vectors)
        except BadPoint as exc:
            raise EncoderBroke(f"{self.space.name}: {exc}") from exc


@contextmanager
def _translated(space: EmbeddingSpace) -> Iterator[None]:
    """The seam of every encoder: what a model raises of its own accord is a broken promise."""
    try:
        yield
    except Fault:
        raise
    except Exception as exc:
        raise EncoderBroke(f"{space.name} ({space.model}): {type(exc).__name__}: {exc}") from exc
