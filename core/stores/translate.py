"""Scope and filter to Qdrant's filter: the one place that adds the tenant and hides what is blocked."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from qdrant_client import models as m

from core.fields import Fields, FieldType
from core.filters import And, Eq, Except, Exists, Filter, GeoBox, GeoRadius, In, Not, Null, Or, Range, TextMatch, words
from core.points import Scope
from core.types import AssetId, Modality

_SCHEMA = {
    FieldType.KEYWORD: m.PayloadSchemaType.KEYWORD,
    FieldType.INTEGER: m.PayloadSchemaType.INTEGER,
    FieldType.FLOAT: m.PayloadSchemaType.FLOAT,
    FieldType.BOOL: m.PayloadSchemaType.BOOL,
    FieldType.DATETIME: m.PayloadSchemaType.DATETIME,
    FieldType.GEO: m.PayloadSchemaType.GEO,
}
_NOTHING = m.Filter(must=[m.HasIdCondition(has_id=[])])


def payload_indexes(fields: Fields) -> Iterator[tuple[str, m.PayloadSchemaType]]:
    """Every path that a filter may name, and how it is indexed; `tenant` is the one that keeps tenants apart.

    Text is found by its words, which are our own tokens and therefore keywords.
    """
    yield "tenant", m.PayloadSchemaType.KEYWORD
    yield "asset", m.PayloadSchemaType.UUID
    yield "external_id", m.PayloadSchemaType.KEYWORD
    yield "modality", m.PayloadSchemaType.KEYWORD
    yield "content", m.PayloadSchemaType.KEYWORD
    yield "blocked", m.PayloadSchemaType.BOOL
    yield "generation", m.PayloadSchemaType.INTEGER
    for name, kind in sorted(fields.items()):
        if kind is FieldType.TEXT:
            yield f"words.{name}", m.PayloadSchemaType.KEYWORD
        else:
            yield f"metadata.{name}", _SCHEMA[kind]


def scoped(scope: Scope, where: Filter | None = None) -> m.Filter:
    """What a query or count may see: its scope, and the filter within it."""
    must: list[m.Condition] = [_is("tenant", scope.tenant)]
    if not scope.blocked:
        must.append(_is("blocked", False))
    if scope.modalities != frozenset(Modality):
        must.append(_any_of("modality", sorted(map(str, scope.modalities))))
    if scope.contents != frozenset(Modality):
        must.append(_any_of("content", sorted(map(str, scope.contents))))
    if scope.assets is not None:
        must.append(_any_of("asset", sorted(map(str, scope.assets))))
    if where is not None:
        must.append(condition(where))
    without = [_any_of("asset", sorted(map(str, scope.without)))] if scope.without else None
    return m.Filter(must=must, must_not=without)


def of_assets(assets: Collection[AssetId], *, below: int | None = None) -> m.Filter:
    """The points of these assets, of generations below the number when there is one."""
    must: list[m.Condition] = [_any_of("asset", sorted(map(str, assets)))]
    if below is not None:
        must.append(m.FieldCondition(key="generation", range=m.Range(lt=below)))
    return m.Filter(must=must)


def up_to(generation: int) -> m.Filter:
    """Points that a write of this generation may replace."""
    return m.Filter(must=[m.FieldCondition(key="generation", range=m.Range(lte=generation))])


def condition(where: Filter) -> m.Condition:
    """A checked filter (`core.filters.check`) in Qdrant's words."""
    match where:
        case And(parts):
            return m.Filter(must=[condition(part) for part in parts])
        case Or(parts):
            return m.Filter(should=[condition(part) for part in parts]) if parts else _NOTHING
        case Not(part):
            return m.Filter(must_not=[condition(part)])
        case Eq(field, value):
            return _is(f"metadata.{field}", value)
        case In(field, values):
            return _any_of(f"metadata.{field}", values)
        case Except(field, values):
            other = m.MatchExcept.model_validate({"except": values})
            return m.FieldCondition(key=f"metadata.{field}", match=other)
        case Range():
            return m.FieldCondition(key=f"metadata.{where.field}", range=_range(where))
        case Exists(field):
            return m.Filter(must_not=[m.IsEmptyCondition(is_empty=m.PayloadField(key=f"metadata.{field}"))])
        case Null(field):
            return m.IsNullCondition(is_null=m.PayloadField(key=f"metadata.{field}"))
        case TextMatch(field, query):
            return m.Filter(must=[_is(f"words.{field}", word) for word in words(query)])
        case GeoRadius(field, lat, lon, metres):
            circle = m.GeoRadius(center=m.GeoPoint(lat=lat, lon=lon), radius=math.nextafter(metres, math.inf))
            return m.FieldCondition(key=f"metadata.{field}", geo_radius=circle)
        case GeoBox():
            return m.Filter(
                should=[
                    m.FieldCondition(key=f"metadata.{where.field}", geo_bounding_box=_box(half))
                    for half in _parts(where)
                ]
            )
    assert_never(where)


def _is(key: str, value: str | int | bool) -> m.FieldCondition:
    return m.FieldCondition(key=key, match=m.MatchValue(value=value))


def _any_of(key: str, values: Sequence[str | int]) -> m.Condition:
    return m.FieldCondition(key=key, match=m.MatchAny.model_validate({"any": values})) if values else _NOTHING


def _range(where: Range) -> m.Range | m.DatetimeRange:
    bounds = where.bounds()
    if any(isinstance(bound, datetime) for bound in bounds.values()):
        return m.DatetimeRange.model_validate(bounds)
    return m.Range.model_validate(bounds)


def _parts(where: GeoBox) -> list[GeoBox]:
    """A box to be asked for as one, two or four: one that is wider than half the globe and ends at the meridian of 180
    is empty for the engine, for which that is the meridian of -180; so is one taller than half of it that ends at the
    north pole."""
    parts = [where]
    if where.west < 0.0 < where.east:
        parts = [replace(where, east=0.0), replace(where, west=0.0)]
    if where.south < 0.0 < where.north:
        parts = [half for part in parts for half in (replace(part, north=0.0), replace(part, south=0.0))]
    return parts


def _box(where: GeoBox) -> m.GeoBoundingBox:
    """Qdrant's box and circle are open, ours are closed: each bound is moved outwards by one float.

    The bounds of the globe itself cannot be, which is why no stored place lies on them (`core.fields.normal`).
    """
    return m.GeoBoundingBox(
        top_left=m.GeoPoint(
            lat=min(90.0, math.nextafter(where.north, math.inf)),
            lon=max(-180.0, math.nextafter(where.west, -math.inf)),
        ),
        bottom_right=m.GeoPoint(
            lat=max(-90.0, math.nextafter(where.south, -math.inf)),
            lon=min(180.0, math.nextafter(where.east, math.inf)),
        ),
    )
