"""Qdrant's own filter JSON as a second way to write a filter: read into the algebra, and written from it.

What it means is what Qdrant says it means (qdrant.tech/documentation/concepts/filtering), over declared fields: a key
is a field's name, with `metadata.` before it or without. What the algebra cannot mean is refused, never left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import combinations
from math import comb
from typing import Any

from core.errors import BadFilter
from core.fields import Fields, FieldType, as_datetime
from core.filters import (
    DEEPEST,
    And,
    Eq,
    Except,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    In,
    Not,
    Null,
    Or,
    Range,
    TextMatch,
    check,
    leaves,
    words,
)

PREFIX = "metadata."
MOST_CHOSEN = 4096  # conditions that a min_should is written out to: every choice of so many is one

_CLAUSES = ("must", "should", "must_not", "min_should")
_CONDITIONS = ("match", "range", "geo_radius", "geo_bounding_box", "is_empty", "is_null")
_MATCHES = ("value", "any", "except", "text", "text_any")
_BOUNDS = ("gt", "gte", "lt", "lte")
_HINTS = {
    "has_id": "ids are not metadata: search `like` an asset, or declare a keyword field that holds what you ask for",
    "nested": "metadata are flat: name the field itself",
    "has_vector": "a search sees only what has a vector of the space it asks",
    "slice": "pages are asked for by `limit` and `offset`",
    "geo_polygon": "no filter has polygons: cover it by geo_bounding_box and geo_radius in `should`",
    "values_count": "no filter counts values: declare an integer field that holds their number",
    "phrase": "the order of words is not kept: write `text`, which wants all of them in any order",
    "prefix": "no filter knows beginnings of words: write `text` with whole words",
    "substring": "no filter knows parts of words: write `text` with whole words",
}


def read(said: Mapping[str, Any], fields: Fields) -> Filter:
    """The filter, checked against the declared fields. Raises BadFilter that points at the place: must[1].range.gt."""
    where = _Reader(fields).filter(said, "", 1)
    check(where, fields)
    return where


def read_text(text: str, fields: Fields) -> Filter:
    """The same from JSON text. Raises BadFilter, also for a name that is said twice: one of them would be lost."""
    try:
        said = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as exc:
        raise BadFilter(f"the filter is no JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}") from exc
    except (RecursionError, ValueError) as exc:  # ValueError: a number of thousands of digits
        raise BadFilter(f"the filter cannot be read as JSON: {str(exc)[:100]}") from exc
    return read(said, fields)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadFilter(f"{_shown(twice)} is said twice in one object: write one list")
    return said


def _no_number(name: str) -> Any:
    raise BadFilter(f"{name} is no number that anything can be compared with")


class _Reader:
    """Reads what is at a path; `level` counts filters within filters."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def filter(self, said: Any, at: str, level: int) -> Filter:
        """All clauses hold; one that is empty or null asks for nothing."""
        if level > DEEPEST + 1:  # a written `false` is one level more
            raise BadFilter(f"the filter is nested more than {DEEPEST} deep: write it flatter")
        parts: list[Filter] = []
        for clause, given in _object(said, at, _CLAUSES).items():
            here = f"{at}.{clause}" if at else clause
            if clause == "min_should" and given is not None:
                parts.append(self._at_least(given, here, level))
                continue
            inner = self._conditions(given, here, level)
            if clause == "must":
                parts += inner
            elif clause == "must_not":
                parts += map(_negated, inner)
            elif inner:
                parts.append(_or(inner))
        return _and(parts)

    def _conditions(self, given: Any, at: str, level: int) -> list[Filter]:
        match given:
            case None:
                return []
            case list():
                return [self._condition(one, f"{at}[{n}]", level) for n, one in enumerate(given)]
            case _:
                return [self._condition(given, at, level)]

    def _at_least(self, said: Any, at: str, level: int) -> Filter:
        given = _object(said, at, ("conditions", "min_count"))
        count, conditions = given.get("min_count"), given.get("conditions")
        if type(count) is not int or count < 0 or not isinstance(conditions, list):
            raise _bad(at, 'write {"conditions": [...], "min_count": 2}')
        parts = [self._condition(one, f"{at}.conditions[{n}]", level) for n, one in enumerate(conditions)]
        each = comb(len(parts) - 1, count - 1) if parts and count else 1  # choices that a part is in
        if each * sum(1 for part in parts for _ in leaves(part)) > MOST_CHOSEN:
            raise _bad(at, f"{len(conditions)} conditions are too many to choose {count} of: write fewer")
        return _or([_and(list(some)) for some in combinations(parts, count)])

    def _condition(self, said: Any, at: str, level: int) -> Filter:
        if not isinstance(said, Mapping):
            raise _bad(at, f"{_shown(said)} is no condition: an object is")
        if "key" in said:
            return self._of_field(said, at)
        for name in ("is_empty", "is_null"):
            if name in said:
                given = _object(said, at, (name,))[name]
                where = f"{at}.{name}"
                field = self._field(_object(given, where, ("key",)).get("key"), f"{where}.key")
                return Not(Exists(field)) if name == "is_empty" else Null(field)
        return self.filter(said, at, level + 1)

    def _of_field(self, said: Mapping[str, Any], at: str) -> Filter:
        given = {name: one for name, one in _object(said, at, ("key", *_CONDITIONS)).items() if one is not None}
        field = self._field(given.pop("key", None), f"{at}.key")
        if not given:
            raise _bad(at, f"nothing is asked of {field!r}: write one of {', '.join(_CONDITIONS)}")
        reads: dict[str, Callable[[str, Any, str], Filter]] = {
            "match": self._match,
            "range": self._range,
            "geo_radius": self._circle,
            "geo_bounding_box": self._box,
            "is_empty": self._empty,
            "is_null": self._null,
        }
        return _and([reads[name](field, one, f"{at}.{name}") for name, one in given.items()])

    def _field(self, key: Any, at: str) -> str:
        if not isinstance(key, str):
            raise _bad(at, f"{_shown(key)} is no name of a field")
        self._checked(Exists(key.removeprefix(PREFIX)), at)
        return key.removeprefix(PREFIX)

    def _match(self, field: str, said: Any, at: str) -> Filter:
        given = _object(said, at, _MATCHES)
        if len(given) != 1:
            raise _bad(at, f"write one of {', '.join(_MATCHES)}")
        [(name, value)] = given.items()
        at = f"{at}.{name}"
        match name, value:
            case "value", str() | int():
                return self._checked(Eq(field, value), at)
            case "any" | "except", list() if all(isinstance(one, str | int) for one in value):
                leaf = In(field, tuple(value)) if name == "any" else Except(field, tuple(value))
                return self._checked(leaf, at)
            case "text", str():
                return self._checked(TextMatch(field, value), at)
            case "text_any", str():
                self._checked(TextMatch(field, value), at)
                return _or([TextMatch(field, word) for word in words(value)])
            case "value", float():
                raise _bad(at, f"{value} is no whole number: compare it by a range")
            case _:
                pass
        wanted = {"any": "a list of texts or of whole numbers", "value": "a text, a whole number, true or false"}
        raise _bad(at, f"{_shown(value)} is not {wanted.get('any' if name == 'except' else name, 'a text')}")

    def _range(self, field: str, said: Any, at: str) -> Filter:
        bounds = {name: one for name, one in _object(said, at, _BOUNDS).items() if one is not None}
        typed: dict[str, Any] = {}
        for name, bound in bounds.items():
            here = f"{at}.{name}"
            typed[name] = self._bound(field, bound, here)
            self._checked(Range(field, **{name: typed[name]}), here)
        return self._checked(Range(field, **typed), at)

    def _bound(self, field: str, bound: Any, at: str) -> Any:
        if self._fields.get(field) is FieldType.DATETIME and isinstance(bound, str):
            try:
                return as_datetime(bound)
            except (ValueError, OverflowError) as exc:
                raise _bad(at, f"{_shown(bound)} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z") from exc
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise _bad(at, f"{_shown(bound)} is no bound: a number is, and a date in a datetime field")
        return bound

    def _circle(self, field: str, said: Any, at: str) -> Filter:
        given = _object(said, at, ("center", "radius"))
        lat, lon = _place(given.get("center"), f"{at}.center")
        return self._checked(GeoRadius(field, lat, lon, _number(given.get("radius"), f"{at}.radius")), at)

    def _box(self, field: str, said: Any, at: str) -> Filter:
        """A box whose left side lies east of its right one reaches over the antimeridian: two of ours."""
        given = _object(said, at, ("top_left", "bottom_right"))
        north, west = _place(given.get("top_left"), f"{at}.top_left")
        south, east = _place(given.get("bottom_right"), f"{at}.bottom_right")
        if west <= east:
            return self._checked(GeoBox(field, south, west, north, east), at)
        halves = [GeoBox(field, south, west, north, 180.0), GeoBox(field, south, -180.0, north, east)]
        return _or([self._checked(half, at) for half in halves])

    def _empty(self, field: str, said: Any, at: str) -> Filter:
        return Not(Exists(field)) if _flag(said, at) else Exists(field)

    def _null(self, field: str, said: Any, at: str) -> Filter:
        return Null(field) if _flag(said, at) else Not(Null(field))

    def _checked(self, leaf: Filter, at: str) -> Filter:
        try:
            check(leaf, self._fields)
        except BadFilter as exc:
            raise _bad(at, str(exc)) from exc
        return leaf


def write(where: Filter) -> dict[str, Any]:
    """A filter as JSON: what `read` makes of it means the same. Keys are the fields' names."""
    said = _said(where)
    return said if said.keys() & set(_CLAUSES) else {"must": [said]}


def _said(where: Filter) -> dict[str, Any]:
    match where:
        case And(parts):
            return {"must": [_said(part) for part in parts]}
        case Or(()):
            return {"must_not": [{"must": []}]}  # an empty `should` asks for nothing
        case Or(parts):
            return {"should": [_said(part) for part in parts]}
        case Not(part):
            return {"must_not": [_said(part)]}
        case Exists(field):
            return {"must_not": [{"is_empty": {"key": field}}]}
        case Null(field):
            return {"is_null": {"key": field}}
        case Eq(field, value):
            return {"key": field, "match": {"value": value}}
        case In(field, values):
            return {"key": field, "match": {"any": list(values)}}
        case Except(field, values):
            return {"key": field, "match": {"except": list(values)}}
        case TextMatch(field, query):
            return {"key": field, "match": {"text": query}}
        case Range(field):
            bounds = where.bounds().items()
            return {
                "key": field,
                "range": {name: b.isoformat() if isinstance(b, datetime) else b for name, b in bounds},
            }
        case GeoRadius(field, lat, lon, metres):
            return {"key": field, "geo_radius": {"center": {"lat": lat, "lon": lon}, "radius": metres}}
        case GeoBox(field, south, west, north, east):
            corners = {"top_left": {"lat": north, "lon": west}, "bottom_right": {"lat": south, "lon": east}}
            return {"key": field, "geo_bounding_box": corners}


def _and(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _or(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _negated(part: Filter) -> Filter:
    return part.part if isinstance(part, Not) else Not(part)


def _object(said: Any, at: str, known: Iterable[str]) -> Mapping[str, Any]:
    """An object with no other names than these."""
    names = ", ".join(known)
    if not isinstance(said, Mapping):
        raise _bad(at, f"{_shown(said)} is no object with {names}")
    for name in said:
        if name in _HINTS:
            raise _bad(f"{at}.{name}" if at else name, _HINTS[name])
        if name not in known:
            raise _bad(at, f"there is no {_shown(name)} here; there is {names}")
    return said


def _place(said: Any, at: str) -> tuple[float, float]:
    given = _object(said, at, ("lat", "lon"))
    return _number(given.get("lat"), f"{at}.lat"), _number(given.get("lon"), f"{at}.lon")


def _number(said: Any, at: str) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or abs(said) > 1e300:
        raise _bad(at, f"{_shown(said)} is no number")
    return float(said)


def _flag(said: Any, at: str) -> bool:
    if not isinstance(said, bool):
        raise _bad(at, f"{_shown(said)} is neither true nor false")
    return said


def _shown(said: Any) -> str:
    shown = repr(said)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _bad(at: str, why: str) -> BadFilter:
    return BadFilter(f"{at or 'the filter'}: {why}")
