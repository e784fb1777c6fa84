"""Filters over declared metadata: the algebra, its meaning (`matches`) and its types (`check`).

`matches` is the definition. A store translates a filter into its own language and must agree with it; a property
test holds every store to that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any

from core.errors import BadFilter
from core.fields import Fields, FieldType, as_datetime, normal
from core.types import Metadata

EARTH = 6_371_008.8  # metres, mean radius (IUGG), as in Qdrant


@dataclass(frozen=True, slots=True)
class Eq:
    """The field, or one value of its list, equals this. Keyword, integer, bool; floats compare by Range."""

    field: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class In:
    """The field, or one value of its list, is one of these: all of one type."""

    field: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Except:
    """The field, or one value of its list, is none of these. With no value there is none that could be another."""

    field: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field, or one value of its list, lies between the bounds given. Numbers, or datetimes."""

    field: str
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None

    def bounds(self) -> dict[str, float | datetime]:
        """The bounds that are set."""
        said = {"gt": self.gt, "gte": self.gte, "lt": self.lt, "lte": self.lte}
        return {name: bound for name, bound in said.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and is neither null nor an empty list."""

    field: str


@dataclass(frozen=True, slots=True)
class Null:
    """The field is there, and is null."""

    field: str


@dataclass(frozen=True, slots=True)
class GeoRadius:
    """The point is within so many metres of the centre, along a great circle."""

    field: str
    lat: float
    lon: float
    metres: float


@dataclass(frozen=True, slots=True)
class GeoBox:
    """The point lies in the box. A box over the antimeridian is to be written as two."""

    field: str
    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True, slots=True)
class TextMatch:
    """Every word of the query is among the words of the field."""

    field: str
    query: str


@dataclass(frozen=True, slots=True)
class And:
    """All of these; true when there is none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these; false when there is none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: Filter


Leaf = Eq | In | Except | Range | Exists | Null | GeoRadius | GeoBox | TextMatch
Filter = Leaf | And | Or | Not

_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿가-힯]|[^\W_]+")


def words(text: str) -> list[str]:
    """The distinct words of a text, case folded; each Chinese, Japanese or Korean character is one."""
    return sorted({w for run in _WORD.findall(text.casefold()) for w in _split_cjk(run)})


def _split_cjk(run: str) -> list[str]:
    return re.findall(r"[぀-ヿ㐀-䶿一-鿿豈-﫿가-힯]|[^぀-ヿ㐀-䶿一-鿿豈-﫿가-힯]+", run)


def metres_between(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance in metres (haversine)."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    half = math.sin((p2 - p1) / 2) ** 2
    half += math.cos(p1) * math.cos(p2) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(min(1.0, math.sqrt(half)))


def matches(where: Filter | None, metadata: Metadata) -> bool:
    """Whether metadata in its stored form (`core.fields.normal_metadata`) satisfies the filter; None is always."""
    match where:
        case None:
            return True
        case And(parts):
            return all(matches(part, metadata) for part in parts)
        case Or(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
        case Null(field):
            return metadata.get(field, ...) is None
        case _:
            held = metadata.get(where.field)
            values = held if isinstance(held, list) else [] if held is None else [held]
            return any(map(_holds(where), values))


def _holds(leaf: Eq | In | Except | Range | Exists | GeoRadius | GeoBox | TextMatch) -> Callable[[Any], bool]:
    match leaf:
        case Eq(_, value):
            return lambda v: type(v) is type(value) and v == value
        case In(_, values):
            return lambda v: any(type(v) is type(x) and v == x for x in values)
        case Except(_, values):
            return lambda v: all(type(v) is not type(x) or v != x for x in values)
        case Exists():
            return lambda v: v is not None
        case GeoRadius(_, lat, lon, metres):
            return lambda v: metres_between(lat, lon, v["lat"], v["lon"]) <= metres
        case GeoBox():
            return lambda v: leaf.south <= v["lat"] <= leaf.north and leaf.west <= v["lon"] <= leaf.east
        case TextMatch(_, query):
            wanted = set(words(query))
            return lambda v: wanted <= set(words(v))
        case Range():
            return lambda v: _in_range(leaf, v)


def _in_range(leaf: Range, value: Any) -> bool:
    return all(_COMPARE[name](*_comparable(value, bound)) for name, bound in leaf.bounds().items())


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}


def _comparable(value: Any, bound: float | datetime) -> tuple[Any, Any]:
    """Both as datetimes, or both as floats: an integer bound beyond 2^53 is a float in every engine."""
    return (as_datetime(value), bound) if isinstance(bound, datetime) else (float(value), float(bound))


def leaves(where: Filter) -> Iterator[Leaf]:
    """Every condition on a field, left to right."""
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield where


DEEPEST = 64  # levels of and, or, not: engines recurse over them


def depth(where: Filter) -> int:
    """Levels of nesting, 1 for a condition."""
    deepest, open_parts = 0, [(where, 1)]
    while open_parts:
        part, level = open_parts.pop()
        deepest = max(deepest, level)
        match part:
            case And(parts) | Or(parts):
                open_parts += [(inner, level + 1) for inner in parts]
            case Not(inner):
                open_parts.append((inner, level + 1))
            case _:
                pass
    return deepest


_RANGED = {FieldType.INTEGER, FieldType.FLOAT, FieldType.DATETIME}
_EQUAL = {FieldType.KEYWORD, FieldType.INTEGER, FieldType.BOOL}


def check(where: Filter | None, fields: Fields) -> None:
    """Raises BadFilter for an undeclared field, a type that does not fit, or a condition that cannot be meant."""
    if where is not None and depth(where) > DEEPEST:
        raise BadFilter(f"the filter is nested more than {DEEPEST} deep: write it flatter")
    for leaf in leaves(where) if where is not None else ():
        kind = fields.get(leaf.field)
        if kind is None:
            declared = ", ".join(f"{name} ({kind})" for name, kind in sorted(fields.items())) or "none"
            raise BadFilter(f"{leaf.field!r} is not a declared field; declared: {declared}")
        try:
            _check_leaf(leaf, kind)
        except (ValueError, OverflowError) as exc:
            raise BadFilter(f"{leaf.field!r} is declared {kind}: {exc}") from exc


def _check_leaf(leaf: Leaf, kind: FieldType) -> None:
    match leaf:
        case Eq(_, value):
            _need(kind in _EQUAL, "compare it by a range" if kind in _RANGED else "it has no equality")
            normal(kind, value)
        case In(_, values) | Except(_, values):
            _need(kind in {FieldType.KEYWORD, FieldType.INTEGER}, "only keywords and integers have `in`")
            _need(bool(values), "`in` needs at least one value")
            for value in values:
                normal(kind, value)
        case Range():
            _need(kind in _RANGED, "only integers, floats and datetimes have an order")
            _need(bool(leaf.bounds()), "a range needs at least one bound")
            for bound in leaf.bounds().values():
                if kind is FieldType.DATETIME:
                    _need(isinstance(bound, datetime) and bound.tzinfo is not None, "compare with a datetime")
                else:
                    normal(FieldType.FLOAT, bound)
        case GeoRadius(_, lat, lon, metres):
            _need(kind is FieldType.GEO, "it holds no place")
            normal(kind, {"lat": lat, "lon": lon})
            _need(math.isfinite(metres) and metres >= 0, "a radius is in metres, 0 or more")
        case GeoBox():
            _need(kind is FieldType.GEO, "it holds no place")
            normal(kind, {"lat": leaf.south, "lon": leaf.west})
            normal(kind, {"lat": leaf.north, "lon": leaf.east})
            _need(leaf.south <= leaf.north, "south lies above north")
            _need(leaf.west <= leaf.east, "write a box over the antimeridian as two")
        case TextMatch(_, query):
            _need(kind is FieldType.TEXT, "only text fields can be matched by words")
            _need(bool(words(query)), "the query has no word")
        case Exists() | Null():
            pass


def _need(held: bool, message: str) -> None:
    if not held:
        raise ValueError(message)
