"""The port of what reads the text inside things."""

from __future__ import annotations

from typing import Protocol

from core.types import Content, Reading, Span, Wants

Phrase = tuple[str, Span | None]  # a line or so of text, and its seconds in a sound


class Reader(Protocol):
    """Text out of things. Faults: ReaderBroke, MissingExtra, BadModel."""

    @property
    def reading(self) -> Reading:
        """Which text it is."""
        ...

    @property
    def wants(self) -> Wants:
        """Contents of which modalities it reads, and what they must be like."""
        ...

    def read(self, content: Content) -> list[Phrase]:
        """The lines of a picture in the order they are read in, or the phrases of a sound of any length, each with its
        seconds from the beginning of it. None is empty or has white space at an end; there may be none at all.

        Weights load on the first call. Safe to call from several threads.
        """
        ...
