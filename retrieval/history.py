"""What somebody liked and did not: examples with weights, which fade with time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.errors import BadQuery
from core.fields import as_datetime
from retrieval.request import Single

MOST_EXAMPLES = 10_000  # of one person


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A thing that is liked, or of a negative weight not; `when` that was, where it is known."""

    what: Single
    name: str  # what reasons call it: its key, or its words
    weight: float = 1.0
    when: datetime | None = None


def check_examples(examples: Sequence[Example]) -> None:
    """Raises BadQuery."""
    if len(examples) > MOST_EXAMPLES:
        raise BadQuery(f"{len(examples):,} examples: give the latest {MOST_EXAMPLES:,}, and the others as seen")
    for one in examples:
        if not math.isfinite(one.weight) or abs(one.weight) > 1e6:
            raise BadQuery(f"the weight of {one.name!r} is {one.weight}: give a number from -1e6 to 1e6")


def faded(examples: Iterable[Example], half_life: timedelta | None, now: datetime) -> list[Example]:
    """The examples with their weights as of now: halved for every half-life that has passed.

    What has no moment, or one that is yet to come, is as of now. Without a half-life nothing fades.
    """
    if half_life is None:
        return list(examples)
    return [
        one if one.when is None else replace(one, weight=one.weight * decay(as_datetime(one.when), half_life, now))
        for one in examples
    ]


def decay(moment: datetime, half_life: timedelta, now: datetime) -> float:
    """0.5 to the number of half-lives that have passed: from 1, now or later, towards 0."""
    return float(0.5 ** (max(0.0, (now - moment).total_seconds()) / half_life.total_seconds()))
