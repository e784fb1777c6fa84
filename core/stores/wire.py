"""Our words as msgpack knows them, and back: vectors as raw little-endian bytes, ids as 16, conditions by name.

Encoding gives plain values; decoding takes nothing else and raises on anything it does not know, so that what crossed
the socket is what was said. What a decoder is given is known by its place: no value can pass for another word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np

from core.fields import FieldType
from core.filters import And, Eq, Except, Exists, Filter, GeoBox, GeoRadius, In, Not, Null, Or, Range, TextMatch
from core.points import Column, Found, Nearest, Points, Scope, Stored
from core.records import Index, IndexState, Storage
from core.spaces import EmbeddingSpace, Sparse, Vector, Vectors
from core.types import AssetId, Modality, Tenant

Plain = dict[str, Any]
_BOUNDS = ("gt", "gte", "lt", "lte")


def ids_to(ids: Iterable[UUID]) -> bytes:
    """16 bytes each, in order."""
    return b"".join(one.bytes for one in ids)


def ids_from(said: bytes) -> list[UUID]:
    """The inverse of `ids_to`."""
    return [UUID(bytes=said[at : at + 16]) for at in range(0, len(said), 16)]


@lru_cache(maxsize=256)  # said with every query
def space_to(space: EmbeddingSpace) -> bytes:
    """A space, as bytes that are the same for the same space."""
    return json.dumps(space.as_dict(), sort_keys=True).encode()


@lru_cache(maxsize=256)
def space_from(said: bytes) -> EmbeddingSpace:
    """The inverse of `space_to`."""
    return EmbeddingSpace.from_dict(json.loads(said))


def index_to(index: Index) -> Plain:
    """An index."""
    return {
        "id": index.id,
        "collection": index.collection,
        "state": str(index.state),
        "spaces": [space_to(space) for space in index.spaces],
        "fields": {name: str(kind) for name, kind in index.fields.items()},
        "storage": index.storage.as_dict(),
    }


def index_from(said: Plain) -> Index:
    """The inverse of `index_to`."""
    match said:
        case {
            "id": str(name),
            "collection": str(collection),
            "state": str(state),
            "spaces": spaces,
            "fields": fields,
            "storage": dict(storage),
        }:
            return Index(
                id=name,
                collection=collection,
                state=IndexState(state),
                spaces=tuple(map(space_from, spaces)),
                fields={field: FieldType(kind) for field, kind in fields.items()},
                storage=Storage.from_dict(storage),
            )
        case _:
            raise ValueError("no index")


def vector_to(vector: Vector) -> Plain:
    """One vector."""
    if isinstance(vector, Sparse):
        return {"at": _bytes(vector.indices, "<u4"), "f4": _bytes(vector.values, "<f4")}
    return {"f4": _bytes(vector, "<f4")}


def vector_from(said: Plain) -> Vector:
    """The inverse of `vector_to`."""
    values = np.frombuffer(said["f4"], "<f4")
    return Sparse(np.frombuffer(said["at"], "<u4"), values) if "at" in said else values


def vectors_to(vectors: Vectors) -> Plain:
    """A batch of vectors, all dense or all sparse; sparse ones laid end to end, with where each ends."""
    if isinstance(vectors, np.ndarray):
        return {"dim": vectors.shape[1], "f4": _bytes(vectors, "<f4")}
    return {
        "ends": _bytes(np.cumsum([len(v) for v in vectors], dtype="<u8"), "<u8"),
        "at": b"".join(_bytes(v.indices, "<u4") for v in vectors),
        "f4": b"".join(_bytes(v.values, "<f4") for v in vectors),
    }


def vectors_from(said: Plain) -> Vectors:
    """The inverse of `vectors_to`."""
    values = np.frombuffer(said["f4"], "<f4")
    if "ends" not in said:
        return values.reshape(-1, said["dim"])
    at, ends = np.frombuffer(said["at"], "<u4"), [0, *np.frombuffer(said["ends"], "<u8").tolist()]
    if ends[-1] != len(at) or len(at) != len(values) or ends != sorted(ends):
        raise ValueError("ragged sparse vectors")
    return [Sparse(at[start:end], values[start:end]) for start, end in pairwise(ends)]


def points_to(points: Points) -> Plain:
    """A batch of points that `check_points` has let pass."""
    return {
        "ids": ids_to(points.ids),
        "payloads": [dict(said) for said in points.payloads],
        "columns": [
            {"space": space_to(space), "rows": _bytes(column.rows, "<u4"), "vectors": vectors_to(column.vectors)}
            for space, column in points.columns.items()
        ],
    }


def points_from(said: Plain) -> Points:
    """The inverse of `points_to`."""
    return Points(
        ids=ids_from(said["ids"]),
        payloads=[_mapping(payload) for payload in said["payloads"]],
        columns={
            space_from(column["space"]): Column(
                np.frombuffer(column["rows"], "<u4").tolist(), vectors_from(column["vectors"])
            )
            for column in said["columns"]
        },
    )


def scope_to(scope: Scope) -> Plain:
    """A scope."""
    return {
        "tenant": scope.tenant,
        "modalities": sorted(scope.modalities),
        "contents": sorted(scope.contents),
        "assets": None if scope.assets is None else ids_to(scope.assets),
        "without": ids_to(scope.without),
        "blocked": scope.blocked,
    }


def scope_from(said: Plain) -> Scope:
    """The inverse of `scope_to`. Nothing of it has a default here: a scope that lacks a limit is no scope."""
    match said:
        case {
            "tenant": str(tenant),
            "modalities": list(kinds),
            "contents": list(contents),
            "assets": only,
            "without": without,
            "blocked": bool(b),
        }:
            return Scope(
                tenant=Tenant(tenant),
                modalities=frozenset(map(Modality, kinds)),
                contents=frozenset(map(Modality, contents)),
                assets=None if only is None else frozenset(map(AssetId, ids_from(only))),
                without=frozenset(map(AssetId, ids_from(without))),
                blocked=b,
            )
        case _:
            raise ValueError("no scope")


def nearest_to(query: Nearest) -> Plain:
    """A query that `check_query` has let pass."""
    return {
        "space": space_to(query.space),
        "vector": vector_to(query.vector),
        "scope": scope_to(query.scope),
        "where": filter_to(query.where),
        "limit": query.limit,
        "exact": query.exact,
        "ef": query.ef,
        "acorn": query.acorn,
        "payload": None if query.payload is None else sorted(query.payload),
    }


def nearest_from(said: Plain) -> Nearest:
    """The inverse of `nearest_to`."""
    match said:
        case {
            "space": bytes(space),
            "vector": vector,
            "scope": scope,
            "limit": int(limit),
            "exact": bool(exact),
            "ef": (int() | None) as ef,
            "acorn": bool(acorn),
            "payload": (list() | None) as payload,
        }:
            return Nearest(
                space=space_from(space),
                vector=vector_from(vector),
                scope=scope_from(scope),
                where=filter_from(said["where"]),
                limit=limit,
                exact=exact,
                ef=ef,
                acorn=acorn,
                payload=None if payload is None else frozenset(map(str, payload)),
            )
        case _:
            raise ValueError("no query")


def found_to(hits: Sequence[Found]) -> Plain:
    """What one query found, by columns."""
    return {
        "ids": ids_to(hit.id for hit in hits),
        "scores": [hit.score for hit in hits],
        "payloads": [dict(hit.payload) for hit in hits],
    }


def found_from(said: Plain) -> list[Found]:
    """The inverse of `found_to`."""
    rows = zip(ids_from(said["ids"]), said["scores"], said["payloads"], strict=True)
    return [Found(one, float(score), _mapping(payload)) for one, score, payload in rows]


def stored_to(point: Stored) -> Plain:
    """A point as it is stored."""
    vectors = {name: vector_to(vector) for name, vector in point.vectors.items()}
    return {"id": point.id.bytes, "payload": dict(point.payload), "vectors": vectors}


def stored_from(said: Plain) -> Stored:
    """The inverse of `stored_to`."""
    vectors = {name: vector_from(vector) for name, vector in said["vectors"].items()}
    return Stored(UUID(bytes=said["id"]), _mapping(said["payload"]), vectors)


def filter_to(where: Filter | None) -> Plain | None:
    """A filter."""
    if where is None:
        return None
    said: Plain = {"is": type(where).__name__}
    match where:
        case And(parts) | Or(parts):
            return said | {"parts": [filter_to(part) for part in parts]}
        case Not(part):
            return said | {"part": filter_to(part)}
        case Eq(field, value):
            return said | {"field": field, "value": value}
        case In(field, values) | Except(field, values):
            return said | {"field": field, "values": list(values)}
        case Range(field):
            return said | {"field": field} | {name: _bound_to(bound) for name, bound in where.bounds().items()}
        case GeoRadius(field, lat, lon, metres):
            return said | {"field": field, "at": [lat, lon, metres]}
        case GeoBox(field, south, west, north, east):
            return said | {"field": field, "at": [south, west, north, east]}
        case TextMatch(field, query):
            return said | {"field": field, "query": query}
        case Exists(field) | Null(field):
            return said | {"field": field}


def filter_from(said: Plain | None) -> Filter | None:
    """The inverse of `filter_to`."""
    return None if said is None else _condition(said)


def _condition(said: Plain) -> Filter:
    match said:
        case {"is": "And", "parts": list(parts)}:
            return And(tuple(map(_condition, parts)))
        case {"is": "Or", "parts": list(parts)}:
            return Or(tuple(map(_condition, parts)))
        case {"is": "Not", "part": dict(part)}:
            return Not(_condition(part))
        case {"is": "Eq", "field": str(field), "value": (str() | int()) as value}:
            return Eq(field, value)
        case {"is": "In", "field": str(field), "values": list(values)} if _words(values):
            return In(field, tuple(values))
        case {"is": "Except", "field": str(field), "values": list(values)} if _words(values):
            return Except(field, tuple(values))
        case {"is": "Range", "field": str(field)}:
            return Range(field, **{name: _bound_from(said[name]) for name in _BOUNDS if name in said})
        case {"is": "GeoRadius", "field": str(field), "at": [_, _, _] as at} if _numbers(at):
            return GeoRadius(field, *at)
        case {"is": "GeoBox", "field": str(field), "at": [_, _, _, _] as at} if _numbers(at):
            return GeoBox(field, *at)
        case {"is": "TextMatch", "field": str(field), "query": str(query)}:
            return TextMatch(field, query)
        case {"is": "Exists", "field": str(field)}:
            return Exists(field)
        case {"is": "Null", "field": str(field)}:
            return Null(field)
        case _:
            raise ValueError("no filter")


def _bound_to(bound: float | datetime) -> float | str:
    """Datetimes as text; integers that msgpack cannot hold as the floats that they compare as."""
    if isinstance(bound, datetime):
        return bound.isoformat()
    return bound if abs(bound) < 2**63 else float(bound)


def _bound_from(said: float | str) -> float | datetime:
    if isinstance(said, str):
        return datetime.fromisoformat(said)
    if not _numbers([said]):
        raise ValueError("no bound")
    return said


def _words(said: Iterable[object]) -> bool:
    return all(isinstance(value, str | int) for value in said)


def _numbers(said: Iterable[object]) -> bool:
    return all(isinstance(number, int | float) for number in said)


def _mapping(said: object) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise TypeError("no payload")
    return said


def _bytes(values: object, kind: str) -> bytes:
    return np.ascontiguousarray(values, kind).tobytes()
