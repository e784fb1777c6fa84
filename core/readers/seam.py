"""The seam of every reader: what a model raises of its own accord is a defect of one content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Fault, ReaderBroke
from core.types import Reading


@contextmanager
def translated(reading: Reading, model: str) -> Iterator[None]:
    """Raises ReaderBroke for all that is no Fault."""
    try:
        yield
    except Fault:
        raise
    except Exception as exc:
        raise ReaderBroke(f"{reading} by {model}: {type(exc).__name__}: {exc}") from exc
