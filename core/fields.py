"""Declared metadata fields: their types, and what a value of each may be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from core.errors import BadField, BadMetadata
from core.types import Metadata

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
MAX_INTEGER = 2**53  # beyond it a float, and so a range filter, cannot tell neighbours apart


class FieldType(StrEnum):
    """What a declared field holds: one value, or a list of them; a text field one text."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    GEO = "geo"
    TEXT = "text"


Fields = Mapping[str, FieldType]


def parse_fields(declarations: Mapping[str, str] | Iterable[str]) -> dict[str, FieldType]:
    """`["kind=keyword", "price=float"]`, or the same as a mapping, with the types looked at. Raises BadField."""
    if isinstance(declarations, Mapping):
        declarations = [f"{name}={kind}" for name, kind in declarations.items()]
    out: dict[str, FieldType] = {}
    for said in declarations:
        name, _, kind = said.partition("=")
        if not NAME.fullmatch(name):
            raise BadField(f"{said!r}: a field's name is letters, digits and underscores; write name=type")
        if kind not in FieldType.__members__.values():
            raise BadField(f"{said!r}: the type must be one of {', '.join(FieldType)}")
        if out.get(name, kind) != kind:
            raise BadField(f"{name!r} is declared twice: as {out[name]} and as {kind}")
        out[name] = FieldType(kind)
    return out


def as_datetime(value: Any) -> datetime:
    """An ISO 8601 string or a datetime, in UTC; a value without a zone is read as UTC. Raises ValueError."""
    said = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _within(limit: float, degrees: float) -> float:
    """Degrees a hair (nanometres) off the limit: an engine's box is open, and no box could hold the limit itself."""
    return math.copysign(min(abs(degrees), math.nextafter(limit, 0.0)), degrees)


def normal(kind: FieldType, value: Any) -> Any:
    """One scalar in the form it is stored and compared in. Raises ValueError when it is not of that type."""
    match kind:
        case FieldType.KEYWORD | FieldType.TEXT if isinstance(value, str):
            value.encode()  # a lone surrogate is no text to any store: UnicodeEncodeError is a ValueError
            if "\0" in value:
                raise ValueError("it holds a NUL character, which PostgreSQL cannot keep")
            return value
        case FieldType.BOOL if isinstance(value, bool):
            return value
        case FieldType.INTEGER if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) <= MAX_INTEGER:
                return value
            raise ValueError(f"integers reach to 2^53: declare {value} as a keyword")
        case FieldType.FLOAT if _number(value):
            return float(value)
        case FieldType.DATETIME if isinstance(value, (str, datetime)):
            return as_datetime(value).isoformat()
        case FieldType.GEO if isinstance(value, Mapping) and set(value) == {"lat", "lon"}:
            lat, lon = value["lat"], value["lon"]
            if _number(lat) and _number(lon) and abs(lat) <= 90 and abs(lon) <= 180:
                return {"lat": _within(90.0, lat), "lon": _within(180.0, lon)}
            raise ValueError("lat reaches from -90 to 90, lon from -180 to 180")
    raise ValueError(f"{value!r} is not a {kind}")


def normal_metadata(fields: Fields, metadata: Metadata) -> dict[str, Any]:
    """Metadata with every declared field in its stored form; undeclared ones are kept as they are.

    Raises BadMetadata, naming the field.
    """
    out: dict[str, Any] = {}
    for name, value in metadata.items():
        if not NAME.fullmatch(name):
            raise BadMetadata(f"{name!r}: a metadata key is letters, digits and underscores")
        kind = fields.get(name)
        if kind is None or value is None:
            out[name] = _json(name, value)
            continue
        try:
            listed = isinstance(value, list) and kind is not FieldType.TEXT
            out[name] = [normal(kind, v) for v in value] if listed else normal(kind, value)
        except (ValueError, OverflowError) as exc:
            raise BadMetadata(f"{name!r} is declared {kind}: {exc}") from exc
    return out


def _json(name: str, value: Any) -> Any:
    match value:
        case str() if "\0" in value:
            raise BadMetadata(f"{name!r} holds a NUL character, which PostgreSQL cannot keep: take it out")
        case None | bool() | str():
            return value
        case int() if abs(value) < 2**63:
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_json(name, v) for v in value]
        case dict() if all(isinstance(k, str) for k in value):
            return {k: _json(name, v) for k, v in value.items()}
    raise BadMetadata(f"{name}: {type(value).__name__} {value!r} has no place in JSON")
