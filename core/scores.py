"""The port of cross-encoders: how well texts answer a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from core.spaces import Dense


class Scores(Protocol):
    """How well texts answer a query: a cross-encoder, which reads both together."""

    @property
    def model(self) -> str:
        """Whose judgement it is."""
        ...

    def reads(self, query: str) -> bool:
        """Whether it was made for the script of most letters of the query, as far as that is known."""
        ...

    def score(self, query: str, texts: Sequence[str], between: Callable[[], None] = ...) -> Dense:
        """f32 (n,): log-odds that texts[i] answers the query; finite, in input order. `between` is called before each
        batch and may raise to end the work. Weights load on the first call. Safe to call from several threads."""
        ...
