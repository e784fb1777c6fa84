"""What another collection on a Qdrant server holds, for taking it in: payloads, without their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qdrant_client import QdrantClient

from core.errors import NoSuchCollection
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
        self._require()
        after = None
        while True:
            with translated():
                found, after = self._client.scroll(
                    self._collection, limit=BATCH, offset=after, with_payload=True, with_vectors=False, timeout=TIMEOUT
                )
            yield from ((str(point.id), point.payload or {}) for point in found)
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
