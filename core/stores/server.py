"""Qdrant server (1.16 or newer), through qdrant-client: one physical collection an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from core.errors import BadPoint, Conflict, Defect, Fault, Misconfigured, ModelMismatch, NoSuchCollection, StoreDown
from core.filters import Filter
from core.points import Found, Nearest, Points, Scope, Stored, check_points
from core.records import Index, Storage
from core.spaces import Sparse, Vector
from core.stores.guards import (
    as_sparse,
    best_first,
    by_generation,
    check_query,
    check_same,
    describe,
    grouped,
    in_order,
)
from core.stores.kept import server_params, server_search
from core.stores.translate import of_assets, payload_indexes, scoped, up_to
from core.types import AssetId

BATCH = 256  # points in one request: about a megabyte at 512 dimensions
TIMEOUT = 30  # seconds, of one request; the server is told the same
PREFIX = "quiver-"  # tells our collections from others on the same server


def connect(url: str, api_key: str | None = None) -> ServerStore:
    """A store on the server at that URL. It is not spoken to yet."""
    with translated():
        client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
    return ServerStore(client)


class ServerStore:
    """A VectorStore on a Qdrant server, or on anything that qdrant-client speaks to."""

    def __init__(self, client: QdrantClient, *, prefix: str = PREFIX) -> None:
        self._client = client
        self._prefix = prefix

    def create(self, index: Index) -> None:
        """See the port. ModelMismatch or Conflict when it exists and differs."""
        name = self._name(index.id)
        with translated(index.id):
            if not self._client.collection_exists(name):
                self._make(name, index)
            kept = (self._client.get_collection(name).config.metadata or {}).get("quiver")
            if kept is None:
                raise Conflict(f"collection {name!r} is not ours, or the server is older than 1.16: use another server")
            check_same(kept, index)
            for path, kind in payload_indexes(index.fields):  # again, should an earlier call have died between
                tenant = m.KeywordIndexParams(type=m.KeywordIndexType.KEYWORD, is_tenant=True)
                self._client.create_payload_index(name, path, tenant if path == "tenant" else kind, wait=True)

    def _make(self, name: str, index: Index) -> None:
        dense = {s.vector_name: server_params(s, index.storage) for s in index.spaces if not s.sparse}
        sparse = {s.vector_name: m.SparseVectorParams() for s in index.spaces if s.sparse}
        try:
            self._client.create_collection(name, dense, sparse, metadata={"quiver": describe(index)}, timeout=TIMEOUT)
        except (UnexpectedResponse, ValueError) as exc:
            if self._client.collection_exists(name):  # another process was first
                return
            if index.storage != Storage() and isinstance(exc, UnexpectedResponse) and exc.status_code in (400, 422):
                said = exc.content.decode(errors="replace")[:300]
                raise Misconfigured(f"the Qdrant server keeps no index as {index.storage}: {said}") from exc
            raise

    def serve(self, index: Index) -> None:
        """See the port: an alias, the collection's name behind our prefix, leads there; changed in one step."""
        name, alias = self._name(index.id), self._name(index.collection)
        with translated(index.id):
            there = {each.alias_name: each.collection_name for each in self._client.get_aliases().aliases}
            if there.get(alias) == name:
                return
            lead = m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=name, alias_name=alias))
            gone = m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=alias))
            self._client.update_collection_aliases([gone, lead] if alias in there else [lead], timeout=TIMEOUT)

    def drop(self, index_id: str) -> None:
        """See the port."""
        with translated(index_id):
            self._client.delete_collection(self._name(index_id), timeout=TIMEOUT)

    def indexes(self) -> list[str]:
        """See the port: those with our prefix; others on the server are not ours to speak of."""
        with translated():
            names = [said.name for said in self._client.get_collections().collections]
        return sorted(unquote(name.removeprefix(self._prefix)) for name in names if name.startswith(self._prefix))

    def upsert(self, index: Index, points: Points) -> None:
        """See the port."""
        check_points(points, index.spaces)
        name = self._name(index.id)
        with translated(index.id):
            for batch, replaceable in structs(points):
                self._client.upsert(name, batch, wait=True, update_filter=replaceable, timeout=TIMEOUT)

    def flush(self, index: Index) -> None:
        """See the port: a write that was waited for is in the server's log, which is its durability."""
        with translated(index.id):
            if not self._client.collection_exists(self._name(index.id)):
                raise NoSuchCollection(f"there is no index {index.id!r}: create it first")

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """See the port."""
        with translated(index.id):
            for below, mine in grouped(assets).items():
                gone = m.FilterSelector(filter=of_assets(mine, below=below))
                self._client.delete(self._name(index.id), gone, wait=True, timeout=TIMEOUT)

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """See the port."""
        asked = [at for at, query in enumerate(queries) if check_query(index, query)]
        out: list[list[Found]] = [[] for _ in queries]
        if asked:
            with translated(index.id):
                batch = [request(queries[at], index.storage) for at in asked]
                answers = self._client.query_batch_points(self._name(index.id), batch, timeout=TIMEOUT)
            for at, answer in zip(asked, answers, strict=True):
                out[at] = best_first([Found(_uuid(p.id), p.score, p.payload or {}) for p in answer.points])
        return out

    def count(self, index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        """See the port."""
        with translated(index.id):
            said = self._client.count(self._name(index.id), scoped(scope, where), exact=exact, timeout=TIMEOUT)
        return said.count

    def of_assets(self, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """See the port."""
        out: list[Stored] = []
        at: Any = None
        with translated(index.id):
            while True:
                records, at = self._client.scroll(
                    self._name(index.id), of_assets(assets), limit=1000, offset=at, with_vectors=True, timeout=TIMEOUT
                )
                out += [stored(record) for record in records]
                if at is None:
                    return sorted(out, key=in_order)

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """See the port."""
        if limit < 1 or (after is not None and after.int == 2**128 - 1):
            return []
        start = None if after is None else str(UUID(int=after.int + 1))  # the server's offset is inclusive
        with translated(index.id):
            records, _ = self._client.scroll(self._name(index.id), limit=limit, offset=start, timeout=TIMEOUT)
        return [stored(record) for record in records]

    def close(self) -> None:
        """See the port."""
        with translated():
            self._client.close()

    def _name(self, index_id: str) -> str:
        return self._prefix + quote(index_id, safe=" ")  # the server forbids a few characters


def structs(points: Points) -> Iterator[tuple[list[m.PointStruct], m.Filter]]:
    """Checked points in requests of at most `BATCH`, each with the filter that spares newer generations."""
    vectors: list[dict[str, Any]] = [{} for _ in points.ids]
    for space, column in points.columns.items():
        rows = column.vectors
        values = rows.tolist() if isinstance(rows, np.ndarray) else [_sparse(as_sparse(v)) for v in rows]
        for row, value in zip(column.rows, values, strict=True):
            vectors[row][space.vector_name] = value
    for generation, mine in by_generation(points):
        for start in range(0, len(mine), BATCH):
            part = mine[start : start + BATCH]
            batch = [
                m.PointStruct(id=str(points.ids[row]), vector=vectors[row], payload=dict(points.payloads[row]))
                for row in part
            ]
            yield batch, up_to(generation)


def request(query: Nearest, storage: Storage) -> m.QueryRequest:
    """A checked query of an index that is kept so."""
    vector = query.vector
    return m.QueryRequest(
        query=_sparse(vector) if isinstance(vector, Sparse) else vector.tolist(),
        using=query.space.vector_name,
        filter=scoped(query.scope, query.where),
        params=server_search(query, storage),
        limit=query.limit,
        with_payload=True if query.payload is None else sorted(query.payload),
    )


def stored(record: m.Record) -> Stored:
    """A point that was read, with the vectors that came with it."""
    held: Any = record.vector or {}
    return Stored(_uuid(record.id), record.payload or {}, {name: _vector(value) for name, value in held.items()})


def _uuid(said: object) -> UUID:
    return said if isinstance(said, UUID) else UUID(str(said))


def _sparse(vector: Sparse) -> m.SparseVector:
    return m.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def _vector(value: Any) -> Vector:
    if isinstance(value, m.SparseVector):
        return Sparse(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
    return np.asarray(value, np.float32)


@contextmanager
def translated(index_id: str = "") -> Iterator[None]:
    """The one seam: no error of the client gets past it."""
    try:
        yield
    except Fault:
        raise
    except Exception as exc:
        raise fault_of(exc, index_id) from exc


def fault_of(exc: Exception, index_id: str) -> Fault:
    """What an error of the client means. Its local mode has only ValueErrors: their words decide."""
    said = str(exc) or type(exc).__name__
    status = 0
    if isinstance(exc, UnexpectedResponse):
        status, said = exc.status_code or 500, exc.content.decode(errors="replace")[:500]
    refused = status in (400, 413, 422) or isinstance(exc, (ValueError, TypeError))
    if "vector name" in said or "is not found in the collection" in said:
        return ModelMismatch(f"index {index_id!r} holds no such space: reindex into a new one ({said})")
    if status == 404 or (refused and said.startswith("Collection") and said.endswith("not found")):
        return NoSuchCollection(f"there is no index {index_id!r}: create it first")
    if status in (401, 403):
        return Misconfigured(f"the Qdrant server refuses the key: set QDRANT_API_KEY ({said})")
    if refused:
        return BadPoint(f"the Qdrant server refused a value: {said}")
    if status or isinstance(exc, (ApiException, QdrantException, RuntimeError, OSError)):
        return StoreDown(f"the Qdrant server does not answer as it should: {said}; see that it runs at QDRANT_URL")
    return Defect(f"{type(exc).__name__} at the Qdrant client: {said}")
