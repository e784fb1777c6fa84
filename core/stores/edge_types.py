"""Our words and qdrant-client's filters to Qdrant Edge's own types, and its errors to Faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as e
from qdrant_client import models as m

from core.errors import BadPoint, Defect, Fault, IndexDrifted, ModelMismatch, StoreDown, StoreLocked
from core.points import Found, Nearest, Points, Stored
from core.records import Index, Storage
from core.spaces import Sparse, Vector
from core.stores.guards import as_sparse, by_generation
from core.stores.kept import edge_params, edge_search
from core.stores.translate import payload_indexes, scoped, up_to

BATCH = 256  # points in one update: the engine holds the interpreter while it writes

_SCHEMA = {
    m.PayloadSchemaType.KEYWORD: e.PayloadSchemaType.Keyword,
    m.PayloadSchemaType.INTEGER: e.PayloadSchemaType.Integer,
    m.PayloadSchemaType.FLOAT: e.PayloadSchemaType.Float,
    m.PayloadSchemaType.BOOL: e.PayloadSchemaType.Bool,
    m.PayloadSchemaType.DATETIME: e.PayloadSchemaType.Datetime,
    m.PayloadSchemaType.GEO: e.PayloadSchemaType.Geo,
    m.PayloadSchemaType.UUID: e.PayloadSchemaType.Uuid,
}


def is_panic(exc: BaseException) -> bool:
    """Whether the engine panicked: a BaseException that is not exported anywhere."""
    return type(exc).__name__ == "PanicException"


def fault_of(exc: Exception) -> Fault:
    """What an error of the engine means; it has no classes for them, so its words decide."""
    said = str(exc) or type(exc).__name__
    if isinstance(exc, Fault):
        return exc
    if "WouldBlock" in said:
        return StoreLocked(f"another process has opened this index: stop it ({said})")
    if "Not existing vector name" in said:
        return ModelMismatch(f"the index holds no such space: reindex into a new one ({said})")
    if isinstance(exc, (TypeError, ValueError, OverflowError)) or "Vector dimension" in said or "Wrong usage" in said:
        return BadPoint(f"the engine refused a value: {said}")
    if type(exc) is Exception or isinstance(exc, OSError):
        return StoreDown(f"the index cannot be read or written: {said}; see to the disk and try again")
    return Defect(f"{type(exc).__name__} at the engine: {said}")


@contextmanager
def translated() -> Iterator[None]:
    """The one seam: no error of the engine gets past it. A panic may lose what was not flushed."""
    try:
        yield
    except Exception as exc:
        raise fault_of(exc) from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise
        raise IndexDrifted(f"the engine panicked ({exc}): the index is opened afresh; reconcile it") from exc


def config(index: Index) -> e.EdgeConfig:
    """A shard with one named vector a space and its write-ahead log on: without it there is no lock and no replay."""
    dense = {s.vector_name: edge_params(s, index.storage) for s in index.spaces if not s.sparse}
    sparse = {s.vector_name: e.EdgeSparseVectorParams() for s in index.spaces if s.sparse}
    return e.EdgeConfig(vectors=dense, sparse_vectors=sparse, wal_enabled=True)


def field_indexes(index: Index) -> Iterator[e.UpdateOperation]:
    """The payload indexes: made before any point, since an unindexed filter reads every payload."""
    for path, kind in payload_indexes(index.fields):
        tenant = e.KeywordIndexParams(is_tenant=True)
        yield e.UpdateOperation.create_field_index(path, tenant if path == "tenant" else _SCHEMA[kind])


def upserts(points: Points) -> Iterator[e.UpdateOperation]:
    """Checked points as writes of at most `BATCH`, on condition that no newer generation is there."""
    vectors: list[dict[str, Any]] = [{} for _ in points.ids]
    for space, column in points.columns.items():
        rows = column.vectors
        values = rows.tolist() if isinstance(rows, np.ndarray) else [_sparse(as_sparse(v)) for v in rows]
        for row, value in zip(column.rows, values, strict=True):
            vectors[row][space.vector_name] = value
    for generation, mine in by_generation(points):
        replaceable = to_filter(up_to(generation))
        for start in range(0, len(mine), BATCH):
            part = mine[start : start + BATCH]
            batch = [e.Point(points.ids[row], vectors[row], dict(points.payloads[row])) for row in part]
            yield e.UpdateOperation.upsert_points(batch, replaceable)


def request(query: Nearest, storage: Storage) -> e.QueryRequest:
    """A checked query of an index that is kept so."""
    vector = query.vector
    value = _sparse(vector) if isinstance(vector, Sparse) else vector.tolist()
    return e.QueryRequest(
        limit=query.limit,
        query=e.Query.Nearest(value, query.space.vector_name),
        filter=to_filter(scoped(query.scope, query.where)),
        params=edge_search(query, storage),
        with_payload=True if query.payload is None else sorted(query.payload),
    )


def found(point: e.ScoredPoint) -> Found:
    """A search result."""
    return Found(as_uuid(point.id), point.score, point.payload or {})


def stored(record: e.Record) -> Stored:
    """A point that was read, with the vectors that came with it."""
    held = record.vector or {}
    if not isinstance(held, dict):
        raise Defect("the engine returned an unnamed vector: every vector of ours has a name")
    return Stored(as_uuid(record.id), record.payload or {}, {name: _vector(value) for name, value in held.items()})


def as_uuid(said: object) -> UUID:
    """A point id: ours are UUIDs."""
    return said if isinstance(said, UUID) else UUID(str(said))


def _sparse(vector: Sparse) -> e.SparseVector:
    return e.SparseVector(vector.indices.tolist(), vector.values.tolist())


def _vector(value: Any) -> Vector:
    if isinstance(value, e.SparseVector):
        return Sparse(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
    return np.asarray(value, np.float32)


def to_filter(where: m.Filter) -> e.Filter:
    """The same filter in Edge's types. Of qdrant-client's language it knows what `translate` writes."""
    if where.min_should is not None:
        raise Defect("no Edge condition is written for min_should")
    return e.Filter(must=_all(where.must), should=_all(where.should), must_not=_all(where.must_not))


def _all(said: list[m.Condition] | m.Condition | None) -> list[Any] | None:
    if said is None:
        return None
    return [_condition(part) for part in (said if isinstance(said, list) else [said])]


def _condition(said: m.Condition) -> Any:
    match said:
        case m.Filter():
            return to_filter(said)
        case m.IsEmptyCondition():
            return e.IsEmptyCondition(said.is_empty.key)
        case m.IsNullCondition():
            return e.IsNullCondition(said.is_null.key)
        case m.HasIdCondition():
            return e.HasIdCondition({as_uuid(i) for i in said.has_id})
        case m.FieldCondition(key=key, match=m.MatchValue(value=value)):
            # the binding reads a Python bool as the integer it also is, which matches nothing
            exact: Any = np.bool_(value) if isinstance(value, bool) else value
            return e.FieldCondition(key, match=e.MatchValue(exact))
        case m.FieldCondition(key=key, match=m.MatchAny() as wanted):
            values: Any = list(wanted.any)
            return e.FieldCondition(key, match=e.MatchAny(values))
        case m.FieldCondition(key=key, match=m.MatchExcept() as unwanted):
            others: Any = list(unwanted.except_)
            return e.FieldCondition(key, match=e.MatchExcept(others))
        case m.FieldCondition(key=key, range=m.Range() as r):
            return e.FieldCondition(key, range=e.RangeFloat(gt=r.gt, gte=r.gte, lt=r.lt, lte=r.lte))
        case m.FieldCondition(key=key, range=m.DatetimeRange() as r):
            bounds = {name: _iso(bound) for name in ("gt", "gte", "lt", "lte") if (bound := getattr(r, name))}
            return e.FieldCondition(key, range=e.RangeDateTime(**bounds))
        case m.FieldCondition(key=key, geo_radius=m.GeoRadius() as r):
            return e.FieldCondition(key, geo_radius=e.GeoRadius(_point(r.center), r.radius))
        case m.FieldCondition(key=key, geo_bounding_box=m.GeoBoundingBox() as box):
            corners = e.GeoBoundingBox(_point(box.top_left), _point(box.bottom_right))
            return e.FieldCondition(key, geo_bounding_box=corners)
        case _:
            raise Defect(f"no Edge condition is written for {said!r}")


def _iso(bound: datetime | date) -> str:
    return bound.astimezone(UTC).isoformat() if isinstance(bound, datetime) else bound.isoformat()


def _point(at: m.GeoPoint) -> e.GeoPoint:
    return e.GeoPoint(lon=at.lon, lat=at.lat)
