"""Hypothesis strategies that several suites share: spaces, fields, metadata, filters, points."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st

from core.fields import MAX_INTEGER, Fields, FieldType, normal_metadata
from core.filters import And, Eq, Except, Exists, Filter, GeoBox, GeoRadius, In, Not, Null, Or, Range, TextMatch
from core.points import Column, Points, payload, point_id
from core.spaces import Dense, EmbeddingSpace, Metric, Sparse
from core.types import Asset, AssetId, Digest, Metadata, Modality, Segment, Tenant, Text

FIELDS: Fields = {f"a_{kind}": kind for kind in FieldType} | {f"b_{kind}": kind for kind in FieldType}
T0 = datetime(2026, 1, 1, tzinfo=UTC)

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)  # no lone surrogates and no NUL: those are refused
phrases = st.lists(
    st.sampled_from(["red", "Red", "STRASSE", "straße", "bird", "鳥", "鳥が", "naïve", "x1", "_", "…"])
).map(" ".join)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.integers(-3, 3)
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 5e-324, 1.0, 1.7e308])
moments = (
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001  # bounds have no zone
    | st.integers(-3, 3).map(lambda n: T0.replace(microsecond=500_000 + n))
).map(lambda moment: moment.replace(fold=0))  # a fold says nothing in UTC
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 90.0, 48.85])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, 0.0, 180.0, 2.35])
places = st.fixed_dictionaries({"lat": latitudes, "lon": longitudes})

SCALARS: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.KEYWORD: st.sampled_from(["", "red", "Red", "été", "鳥", "a b"]) | texts,
    FieldType.INTEGER: integers,
    FieldType.FLOAT: floats,
    FieldType.BOOL: st.booleans(),
    FieldType.DATETIME: moments,
    FieldType.GEO: places,
    FieldType.TEXT: phrases | texts,
}


def values(kind: FieldType) -> st.SearchStrategy[Any]:
    """What a field of that type may hold: nothing, one, or (but for text) a list."""
    one = SCALARS[kind]
    return st.none() | one if kind is FieldType.TEXT else st.none() | one | st.lists(one, max_size=3)


def metadata(fields: Fields = FIELDS) -> st.SearchStrategy[dict[str, Any]]:
    """Metadata in its stored form, every field optional."""
    said = st.fixed_dictionaries({}, optional={name: values(kind) for name, kind in fields.items()})
    return said.map(lambda d: normal_metadata(fields, d))


@st.composite
def _boxes(draw: st.DrawFn, field: str) -> GeoBox:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted((draw(longitudes), draw(longitudes)))
    return GeoBox(field, south, west, north, east)


def _ranges(field: str, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Range]:
    said = st.fixed_dictionaries({}, optional=dict.fromkeys(("gt", "gte", "lt", "lte"), bounds)).filter(bool)
    return said.map(lambda given: Range(field, **given))


def leaves(field: str, kind: FieldType) -> st.SearchStrategy[Filter]:
    """Every condition that a field of that type knows."""
    exists: st.SearchStrategy[Filter] = st.sampled_from([Exists(field), Null(field)])
    match kind:
        case FieldType.KEYWORD | FieldType.INTEGER:
            one = SCALARS[kind]
            some = st.lists(one, min_size=1, max_size=3).map(tuple)
            in_ = some.map(lambda vs: In(field, vs)) | some.map(lambda vs: Except(field, vs))
            found = exists | one.map(lambda v: Eq(field, v)) | in_
            return found | _ranges(field, floats | integers) if kind is FieldType.INTEGER else found
        case FieldType.BOOL:
            return exists | st.booleans().map(lambda v: Eq(field, v))
        case FieldType.FLOAT:
            return exists | _ranges(field, floats)
        case FieldType.DATETIME:
            return exists | _ranges(field, moments)
        case FieldType.GEO:
            radii = st.floats(1e-3, 3e7) | st.sampled_from([0.0, 1.0, 1e5])
            circles = st.builds(GeoRadius, st.just(field), latitudes, longitudes, radii)
            return exists | _boxes(field) | circles
        case FieldType.TEXT:
            said = st.lists(st.sampled_from(["red", "RED", "strasse", "鳥", "が", "naïve", "x1", "none"]), min_size=1)
            return exists | said.map(lambda ws: TextMatch(field, " ".join(ws)))


def filters(fields: Fields = FIELDS) -> st.SearchStrategy[Filter]:
    """Checked filters over the fields, nested."""
    leaf = st.one_of([leaves(name, kind) for name, kind in fields.items()])
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda ps: And(tuple(ps)))
            | st.lists(inner, max_size=3).map(lambda ps: Or(tuple(ps)))
            | inner.map(Not)
        ),
        max_leaves=6,
    )


def make_asset(
    *,
    number: int = 1,
    tenant: str = "t",
    generation: int = 1,
    metadata: Metadata | None = None,
    modality: Modality = Modality.TEXT,
    collection: str = "c",
) -> Asset:
    """An asset that is told apart by its number."""
    return Asset(
        id=AssetId(UUID(int=number)),
        tenant=Tenant(tenant),
        collection=collection,
        external_id=f"{number}.txt",
        modality=modality,
        media_type="text/plain",
        digest=Digest(f"{number:064x}"),
        size=1,
        metadata=metadata or {},
        generation=generation,
        created_at=T0,
    )


def make_space(name: str = "words", dim: int = 4, **changes: Any) -> EmbeddingSpace:
    """A space; whatever is named is changed."""
    said: dict[str, Any] = {
        "model": "m",
        "revision": "r",
        "metric": Metric.COSINE,
        "modalities": frozenset({Modality.TEXT}),
        "recipe": "",
    }
    return EmbeddingSpace(name=name, dim=dim, **(said | changes))


def unit(*numbers: float) -> Dense:
    """A unit vector of that direction."""
    row = np.asarray(numbers, np.float32)
    return row / np.linalg.norm(row)


def sparse(**weights: float) -> Sparse:
    """`sparse(i3=0.5)` is 0.5 at index 3."""
    pairs = sorted((int(name[1:]), weight) for name, weight in weights.items())
    return Sparse(np.asarray([i for i, _ in pairs], np.uint32), np.asarray([w for _, w in pairs], np.float32))


def make_points(
    assets: list[Asset], columns: dict[EmbeddingSpace, Any], *, fields: Fields = FIELDS, blocked: bool = False
) -> Points:
    """One point an asset: segment 0. A column is a list with a vector, or None, for each asset; or a `Column`."""
    segment = Segment(0, Text("words"))
    return Points(
        ids=[point_id(asset, 0) for asset in assets],
        payloads=[payload(asset, segment, fields, blocked=blocked) for asset in assets],
        columns={space: said if isinstance(said, Column) else column(space, said) for space, said in columns.items()},
    )


def column(space: EmbeddingSpace, said: list[Any]) -> Column:
    """The vectors that are there, by row."""
    rows = [row for row, vector in enumerate(said) if vector is not None]
    held = [said[row] for row in rows]
    return Column(rows, held if space.sparse else np.asarray(held, np.float32).reshape(len(held), -1))
