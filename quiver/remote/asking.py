"""Asking a server: what there is, search, and upkeep."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote
from uuid import UUID

import httpx
import numpy as np

from core.errors import BadQuery, NoSuchAsset
from core.filters import Filter
from core.records import Failure
from core.types import Modality
from ingest.files import opened
from quiver.remote import reading
from quiver.remote.wire import Wire
from quiver.reports import (
    AssetState,
    AssetView,
    CollectionStatus,
    Embedded,
    ModelView,
    Ranked,
    Removed,
)
from retrieval.request import Answer
from workers.reconcile import Drift

PathLike = str | Path
SENDERS = 8  # files that are sent at once
LOOK = 0.1  # seconds between looks at what is waited for


class Asking:
    """Questions to a server, with one key."""

    def __init__(
        self, url: str, key: str | None = None, *, patience: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        """`patience`: seconds for which a server that is away, or has too much to do, is asked again."""
        self._wire = Wire(url, key, patience=patience, transport=transport)

    def status(self, collection: str | None = None) -> list[CollectionStatus]:
        """As `Quiver.status`."""
        if collection is not None:
            return [reading.collection(self._wire.get(place_of(collection)))]
        return [reading.collection(each) for each in self._wire.get("/v1/collections")]

    def assets(self, collection: str, *, after: str | None = None, limit: int = 100) -> list[AssetState]:
        """As `Quiver.assets`."""
        page = self._wire.get(place_of(collection, "assets"), after=after, limit=limit)
        return [reading.asset(each) for each in page["assets"]]

    def show(self, collection: str, key: str | UUID) -> AssetView:
        """As `Quiver.show`; where the bytes lie is the server's to know."""
        return reading.view(self._asset(collection, key))

    def _asset(self, collection: str, key: str | UUID) -> Any:
        try:
            return self._wire.get(place_of(collection, f"assets/{UUID(str(key))}"))
        except (ValueError, NoSuchAsset):
            found = self._wire.get(place_of(collection, "assets"), external_id=str(key))["assets"]
        if not found:
            raise NoSuchAsset(f"{collection!r} has no asset {str(key)!r}")
        return found[0]

    def content(self, collection: str, key: str | UUID) -> bytes:
        """As `Quiver.content`."""
        asset = self._asset(collection, key)["id"]
        return self._wire.ask("GET", place_of(collection, f"assets/{asset}/content")).content

    def thumbnail(self, collection: str, key: str | UUID) -> bytes:
        """As `Quiver.thumbnail`."""
        asset = self._asset(collection, key)["id"]
        return self._wire.ask("GET", place_of(collection, f"assets/{asset}/thumbnail")).content

    def remove(self, collection: str, *keys: str | UUID) -> Removed:
        """As `Quiver.remove`."""
        said = self._wire.post(place_of(collection, "assets/remove"), {"assets": [str(key) for key in keys]})
        return Removed(removed=said["removed"], unknown=tuple(said["unknown"]))

    # Asking

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        where: str | Filter | None = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> Answer:
        """As `Quiver.search`; `where` is an expression."""
        if where is not None and not isinstance(where, str):
            raise BadQuery("over HTTP a filter is written as an expression: price < 20 and kind = photo")
        body: dict[str, Any] = {"limit": limit, "exact": exact, "where": where, "text": text}
        for name, given in (("image", image), ("audio", audio)):
            if given is not None:
                with stream_of(given) as (source, _):
                    body[name] = base64.b64encode(source.read()).decode()
        if like is not None:
            body["like"] = str(like)
        if modality is not None:
            body["modality"] = [str(modality)] if isinstance(modality, str) else [str(each) for each in modality]
        said = {name: value for name, value in body.items() if value is not None}
        return reading.answer(self._wire.post(place_of(collection, "search"), said))

    def embed(self, contents: Sequence[str | bytes], *, model: str | None = None) -> Embedded:
        """As `Quiver.embed`."""
        body = {"input": [_content(one) for one in contents], "model": model, "encoding_format": "base64"}
        said = self._wire.post("/v1/embeddings", body)
        rows = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in said["data"]]
        return Embedded(model=said["model"], encoder="", vectors=np.stack(rows).astype(np.float32))

    def rerank(self, query: str, documents: Sequence[str | bytes], *, model: str | None = None) -> Ranked:
        """As `Quiver.rerank`."""
        body = {"query": query, "documents": [_content(one) for one in documents], "model": model}
        said = self._wire.post("/v1/rerank", body)
        order = tuple((each["index"], each["relevance_score"]) for each in said["results"])
        return Ranked(model=said["model"], encoder="", order=order)

    def models(self) -> list[ModelView]:
        """As `Quiver.models`, of those that this key may name."""
        return [reading.model(each) for each in self._wire.get("/v1/models")["data"]]

    # Upkeep

    def failures(
        self, collection: str, *, kind: str | None = None, older_than: timedelta | None = None, limit: int = 1000
    ) -> list[Failure]:
        """As `Quiver.failures`."""
        age = older_than.total_seconds() if older_than is not None else None
        found = self._wire.get(
            "/v1/admin/failures", collection=collection, kind=kind, older_than_seconds=age, limit=min(limit, 1000)
        )
        return [reading.failure(one, collection) for one in found]

    def retry(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """As `Quiver.retry`."""
        return int(self._wire.post("/v1/admin/failures/retry", _chosen(collection, keys, kind, older_than))["count"])

    def discard(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """As `Quiver.discard`."""
        return int(self._wire.post("/v1/admin/failures/discard", _chosen(collection, keys, kind, older_than))["count"])

    def reconcile(self, collection: str, *, repair: bool = False) -> Drift:
        """As `Quiver.reconcile`."""
        return reading.drift(self._wire.post("/v1/admin/reconcile", {"collection": collection, "repair": repair}))

    def stats(self, collection: str) -> dict[str, float]:
        """As `Quiver.stats`."""
        said = self._wire.get("/v1/admin/stats", collection=collection)
        return {str(stage): float(spent) for stage, spent in said["stages"].items()}

    def attend(self) -> None:
        """As `Quiver.attend`."""
        self._wire.post("/v1/admin/sweep")


def place_of(collection: str, rest: str = "") -> str:
    return f"/v1/collections/{quote(collection, safe='')}" + (f"/{rest}" if rest else "")


@contextmanager
def stream_of(given: PathLike | bytes | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """A stream of what was given, and its name."""
    if isinstance(given, bytes):
        yield io.BytesIO(given), ""
    elif isinstance(given, (str, Path)):
        with opened(Path(given)) as source:
            yield source, Path(given).name
    else:
        yield given, ""


def _content(one: str | bytes) -> str | dict[str, str]:
    return one if isinstance(one, str) else {"image": base64.b64encode(one).decode()}


def _chosen(
    collection: str, keys: Sequence[str | UUID], kind: str | None, older_than: timedelta | None
) -> dict[str, Any]:
    age = older_than.total_seconds() if older_than is not None else None
    said = {"assets": [str(key) for key in keys], "kind": kind, "older_than_seconds": age}
    return {"collection": collection} | {name: value for name, value in said.items() if value is not None}
