"""An encoder whose promises are checked on every call: the one place where shape, order and length are enforced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from core.errors import BadPoint, EncoderBroke, Fault, NoSpaceFor
from core.points import check_vectors
from core.ports import Embeds, Tokens
from core.spaces import EmbeddingSpace, Vector, Vectors, batched
from core.types import Content, Wants

_ANYTHING = Wants()


class Checked:
    """Makes an encoder of what embeds, which may leave out all but `space` and `encode`.

    Raises NoSpaceFor for content it cannot embed, EncoderBroke when it breaks its promise.
    """

    def __init__(self, inner: Embeds) -> None:
        self._inner = inner

    @property
    def space(self) -> EmbeddingSpace:
        """Port."""
        return self._inner.space

    @property
    def wants(self) -> Wants:
        """Port."""
        said: Wants = getattr(self._inner, "wants", _ANYTHING)
        return replace(said, contents=self.space.modalities)

    @property
    def tokens(self) -> Tokens | None:
        """Port."""
        said: Tokens | None = getattr(self._inner, "tokens", None)
        return said

    @property
    def how(self) -> Mapping[str, str]:
        """Port."""
        said: Mapping[str, str] = getattr(self._inner, "how", {})
        return said

    def encode(self, contents: Sequence[Content]) -> Vectors:
        """Port."""
        self._ask(contents)
        with _translated(self.space):
            vectors = self._inner.encode(contents)
        return self._checked(contents, vectors)

    def encode_query(self, query: Content) -> Vector:
        """Port."""
        return self.encode_queries([query])[0]

    def encode_queries(self, queries: Sequence[Content]) -> Vectors:
        """Port."""
        self._ask(queries)
        many: Callable[[Sequence[Content]], Vectors] | None = getattr(self._inner, "encode_queries", None)
        one: Callable[[Content], Vector] | None = getattr(self._inner, "encode_query", None)
        with _translated(self.space):
            if many is not None or one is None or not queries:
                vectors = (many or self._inner.encode)(queries)
            else:
                vectors = batched([one(query) for query in queries])
        return self._checked(queries, vectors)

    def _ask(self, contents: Sequence[Content]) -> None:
        for content in contents:
            if content.modality not in self.space.modalities:
                raise NoSpaceFor(f"{self.space.name} embeds {', '.join(sorted(self.space.modalities))} only")

    def _checked(self, contents: Sequence[Content], vectors: Vectors) -> Vectors:
        if len(vectors) != len(contents):
            raise EncoderBroke(f"{self.space.name}: {len(contents)} contents, {len(vectors)} vectors")
        try:
            check_vectors(self.space, vectors)
        except BadPoint as exc:
            raise EncoderBroke(f"{self.space.name}: {exc}") from exc
        return vectors


@contextmanager
def _translated(space: EmbeddingSpace) -> Iterator[None]:
    """The seam of every encoder: what a model raises of its own accord is a broken promise."""
    try:
        yield
    except Fault:
        raise
    except Exception as exc:
        raise EncoderBroke(f"{space.name} ({space.model}): {type(exc).__name__}: {exc}") from exc
