"""Recommendations as callers say them: examples, spans of time and quotas, from Python or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from core.errors import BadQuery
from core.fields import as_datetime
from core.types import Modality
from ingest.files import named
from quiver.arguments import check, number_of
from retrieval.expression import Where
from retrieval.recommendation import Freshness, Strategy
from retrieval.shares import Value

ExampleSaid = str | UUID | Mapping[str, Any] | Sequence[Any]
Span = str | float | timedelta
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """The arguments of `Quiver.recommend`, where each is explained."""

    positives: Sequence[ExampleSaid] = ()
    negatives: Sequence[ExampleSaid] = ()
    history: Sequence[ExampleSaid] = ()
    seen: Iterable[str | UUID] | Path = ()
    strategy: str = "average"
    half_life: Span | None = None
    where: Where = None
    modality: str | Modality | Iterable[str] | None = None
    limit: int = 10
    again: bool = False
    min_score: float | None = None
    exact: bool = False
    fusion: str | None = None
    weights: Mapping[str, float] | None = None
    rerank: Sequence[str | Mapping[str, Any]] = ()
    budget: float | None = None
    freshness: str | Mapping[str, Any] | None = None
    quota: Mapping[str, int] | None = None
    shares: Mapping[str, Mapping[Value, float]] | None = None
    fallback: str = "recent"
    page: str | None = None
    reasons: bool = True

    def __post_init__(self) -> None:
        """Raises BadQuery for an argument of another type."""
        check({each.name: getattr(self, each.name) for each in fields(self)})


NAMES = frozenset(each.name for each in fields(Wish))


def wish_of(said: Mapping[str, Any]) -> Wish:
    """By the names of its parts. Raises BadQuery."""
    if unknown := sorted(map(str, said.keys() - NAMES)):
        raise BadQuery(f"there is no {unknown[0]!r} in a recommendation; there is: {', '.join(sorted(NAMES))}")
    return Wish(**said)


def strategy_of(said: str) -> Strategy:
    """Raises BadQuery."""
    try:
        return Strategy(said)
    except ValueError as exc:
        raise BadQuery(f"strategy {said!r}: it is one of {', '.join(Strategy)}") from exc


def span_of(said: Span | None) -> timedelta | None:
    """`7d`, `12h`, `90s`, seconds, or a timedelta. Raises BadQuery."""
    if said is None or isinstance(said, timedelta):
        return said
    try:
        if isinstance(said, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", said.strip())):
            return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
        return timedelta(seconds=float(said))
    except (ValueError, TypeError, OverflowError) as exc:
        raise BadQuery(f"{said!r} is no span of time: write 90s, 30m, 12h, 7d or 4w") from exc


def freshness_of(said: str | Mapping[str, Any] | None) -> Freshness | None:
    """`field:7d`, or `{"field": …, "half_life": …, "weight": …}`. Raises BadQuery."""
    if said is None:
        return None
    name, _, tail = said.partition(":") if isinstance(said, str) else ("", "", "")
    parts: Any = {"field": name, "half_life": tail or None} if isinstance(said, str) else said
    if not isinstance(parts, Mapping) or not {"field", "half_life"} <= parts.keys() <= {"field", "half_life", "weight"}:
        raise BadQuery("freshness is FIELD:7d, or a mapping of field, half_life and perhaps weight")
    span = span_of(parts["half_life"])
    if span is None:
        raise BadQuery("freshness needs a half-life: write FIELD:7d")
    weight = number_of(parts.get("weight", 0.5), "the weight of freshness")
    return Freshness(field=str(parts["field"]), half_life=span, weight=weight)


def when_of(said: Any) -> datetime | None:
    """A moment, as a datetime or in ISO 8601. Raises BadQuery."""
    if said is None:
        return None
    try:
        return as_datetime(said)
    except (ValueError, TypeError, OverflowError) as exc:
        raise BadQuery(f"{said!r} is no moment: write it as 2026-01-31T12:00:00Z") from exc


def listed(seen: Iterable[str | UUID] | Path) -> Iterator[str | UUID]:
    """What was seen; of a file a line each. Raises BadQuery, NoSuchPath."""
    if isinstance(seen, Path):
        with named(seen) as file:
            for line in file:
                if said := line.decode("utf-8", "replace").strip():
                    yield said
    else:
        yield from seen
