"""What another collection on a Qdrant server holds, for taking it in: payloads, and vectors where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as m

from core.errors import NoSuchCollection
from core.spaces import Sparse, Vector
from core.stores.server import TIMEOUT, translated

BATCH = 256  # points a request


class ServerPayloads:
    """The payloads of one collection, by growing point id. Nothing is written. Raises NoSuchCollection, StoreDown."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client, self._collection = client, collection

    def __len__(self) -> int:
        """How many points it has."""
        self._require()
        with translated():
            return self._client.count(self._collection, exact=True, timeout=TIMEOUT).count

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each point's id and payload."""
        yield from ((point, payload) for point, payload, _ in self._scroll(None))

    def dims(self) -> dict[str, int | None]:
        """The vectors that its points may have, by name, with how many numbers; None: sparse. The one that has no name
        is called "". Several vectors a point under one name are left out."""
        self._require()
        with translated():
            said = self._client.get_collection(self._collection).config.params
        dense = said.vectors or {}
        named = dense if isinstance(dense, dict) else {"": dense}
        sizes: dict[str, int | None] = {
            name: params.size for name, params in named.items() if params.multivector_config is None
        }
        return sizes | dict.fromkeys(said.sparse_vectors or {})

    def vectors(self, names: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Vector]]]:
        """Each point's id, payload and those of these vectors that it has."""
        yield from self._scroll(names)

    def _scroll(self, names: Sequence[str] | None) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Vector]]]:
        self._require()
        wanted: bool | list[str] = False if names is None else True if "" in names else list(names)
        after = None
        while True:
            with translated():
                found, after = self._client.scroll(
                    self._collection, limit=BATCH, offset=after, with_payload=True, with_vectors=wanted, timeout=TIMEOUT
                )
            for point in found:
                held = point.vector if isinstance(point.vector, dict) else {"": point.vector}
                its = {name: _vector(held[name]) for name in names or () if held.get(name) is not None}
                yield str(point.id), point.payload or {}, its
            if after is None:
                return

    def _require(self) -> None:
        with translated():
            there = self._client.collection_exists(self._collection)
            if there:
                return
            known = sorted(said.name for said in self._client.get_collections().collections)
        raise NoSuchCollection(
            f"the server has no collection {self._collection!r}; it has {', '.join(known[:20]) or 'none'}"
        )


def payloads_at(url: str, collection: str, api_key: str | None) -> ServerPayloads:
    """Those of a collection on the server at that URL, which is not spoken to yet."""
    with translated():
        client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
    return ServerPayloads(client, collection)


def _vector(value: Any) -> Vector:
    """As its owner wrote it: nothing of it was looked at."""
    if isinstance(value, m.SparseVector):
        return Sparse(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
    return np.asarray(value, np.float32)
