"""Which stage of the work the time of a thread belongs to; a part of a stage may be a stage of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from time import perf_counter

Seconds = MutableMapping[str, float]  # by stage


class _Here(threading.local):
    parts: Seconds | None = None  # of the stage that this thread is in; None: nobody measures


_here = _Here()


@contextmanager
def measured(stage: str, into: Seconds) -> Iterator[None]:
    """Adds the time inside to the stage, less that of its parts, which are added to theirs."""
    outer, began = _here.parts, perf_counter()
    parts: dict[str, float] = {}
    _here.parts = parts
    try:
        yield
    finally:
        _here.parts = outer
        own = perf_counter() - began - sum(parts.values())
        add({stage: own}, into)
        add(parts, into)


def add(more: Mapping[str, float], into: Seconds) -> None:
    """So much more, stage by stage."""
    for stage, spent in more.items():
        into[stage] = into.get(stage, 0.0) + spent


@contextmanager
def part(stage: str) -> Iterator[None]:
    """The time inside belongs to this stage and not to the one that goes on around it; where none does, to none."""
    around = _here.parts
    if around is None:
        yield
        return
    with measured(stage, around):
        yield
