"""The exact reference store: numpy and `core.filters.matches`, nothing else. For tests and small things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any
from uuid import UUID

import numpy as np

from core.errors import NoSuchCollection
from core.filters import Filter, matches
from core.points import Found, Nearest, Points, Scope, Stored, check_points
from core.records import Index
from core.spaces import Metric, Sparse, Vector
from core.stores.guards import best_first, by_generation, check_held, check_query, check_same, describe, in_order
from core.types import AssetId


@dataclass(slots=True)
class _Shelf:
    """One index: what it is made of, and its points by id."""

    description: Mapping[str, Any]
    points: dict[UUID, Stored] = field(default_factory=dict)


class MemoryStore:
    """A VectorStore that is gone when the process is."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._lock = RLock()

    def create(self, index: Index) -> None:
        """See the port. ModelMismatch or Conflict when it exists and differs."""
        with self._lock:
            shelf = self._shelves.setdefault(index.id, _Shelf(describe(index)))
            check_same(shelf.description, index)

    def drop(self, index_id: str) -> None:
        """See the port."""
        with self._lock:
            self._shelves.pop(index_id, None)

    def indexes(self) -> list[str]:
        """See the port."""
        return sorted(self._shelves)

    def upsert(self, index: Index, points: Points) -> None:
        """See the port."""
        check_points(points, index.spaces)
        with self._lock:
            held = self._points(index.id)
            check_held(self._shelves[index.id].description, index, points.columns)
            vectors: list[dict[str, Vector]] = [{} for _ in points.ids]
            for space, column in points.columns.items():
                for row, vector in zip(column.rows, column.vectors, strict=True):
                    vectors[row][space.vector_name] = vector
            for generation, rows in by_generation(points):
                for row in rows:
                    there = held.get(points.ids[row])
                    if there is None or there.payload["generation"] <= generation:
                        held[points.ids[row]] = Stored(points.ids[row], dict(points.payloads[row]), vectors[row])

    def flush(self, index: Index) -> None:
        """See the port: as durable as memory is."""
        self._points(index.id)

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        below = {str(asset): generation for asset, generation in assets.items()}
        with self._lock:
            held = self._points(index.id)
            for point in list(held.values()):
                limit = below.get(point.payload["asset"], 0)
                if limit is None or point.payload["generation"] < limit:
                    del held[point.id]

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port. Always exact."""
        with self._lock:
            self._points(index.id)
            asked = [check_query(index, query) for query in queries]
            check_held(self._shelves[index.id].description, index, [query.space for query in queries])
            return [self._nearest(index, q) if some else [] for q, some in zip(queries, asked, strict=True)]

    def _nearest(self, index: Index, query: Nearest) -> list[Found]:
        name = query.space.vector_name
        seen = [point for point in self._seen(index.id, query.scope, query.where) if name in point.vectors]
        scores = [score(query.space.metric, query.vector, point.vectors[name]) for point in seen]
        found = [Found(p.id, s, p.payload) for p, s in zip(seen, scores, strict=True) if s is not None]
        nearest = best_first(found)[: query.limit]
        if query.payload is None:
            return nearest
        return [replace(one, payload={k: v for k, v in one.payload.items() if k in query.payload}) for one in nearest]

    def count(self, index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:  # noqa: ARG002  # it always is
        """See the port."""
        with self._lock:
            return sum(1 for _ in self._seen(index.id, scope, where))

    def of_assets(self, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """See the port."""
        wanted = set(map(str, assets))
        with self._lock:
            mine = [point for point in self._points(index.id).values() if point.payload["asset"] in wanted]
        return sorted(mine, key=in_order)

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        with self._lock:
            ids = sorted(i for i in self._points(index.id) if after is None or i > after)[:limit]
            return [Stored(i, self._points(index.id)[i].payload) for i in ids]

    def serve(self, index: Index) -> None:
        """See the port: nobody else reads it."""

    def close(self) -> None:
        """See the port."""

    def _points(self, index_id: str) -> dict[UUID, Stored]:
        try:
            return self._shelves[index_id].points
        except KeyError:
            raise NoSuchCollection(f"there is no index {index_id!r}: create it first") from None

    def _seen(self, index_id: str, scope: Scope, where: Filter | None) -> Iterator[Stored]:
        for point in self._points(index_id).values():
            if in_scope(scope, point.payload) and matches(where, point.payload["metadata"]):
                yield point


def in_scope(scope: Scope, said: Mapping[str, Any]) -> bool:
    """Whether a query of this scope may see a point with this payload."""
    asset = AssetId(UUID(said["asset"]))
    return (
        said["tenant"] == scope.tenant
        and said["modality"] in scope.modalities
        and said["content"] in scope.contents
        and (scope.blocked or not said["blocked"])
        and (scope.assets is None or asset in scope.assets)
        and asset not in scope.without
    )


def score(metric: Metric, query: Vector, held: Vector) -> float | None:
    """Larger is nearer; None for sparse vectors that share no index, which are not an answer."""
    if isinstance(query, Sparse) or isinstance(held, Sparse):
        if not isinstance(query, Sparse) or not isinstance(held, Sparse):
            return None
        _, mine, theirs = np.intersect1d(query.indices, held.indices, assume_unique=True, return_indices=True)
        return float(query.values[mine] @ held.values[theirs]) if len(mine) else None
    near = float(query @ held)
    return near / (float(np.linalg.norm(query)) or 1.0) if metric is Metric.COSINE else near
