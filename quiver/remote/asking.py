"""Asking a server: what there is, search, and upkeep."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import numpy as np

from core.errors import NoSuchAsset
from core.records import Failure
from core.types import Modality
from quiver.arguments import check
from quiver.asking import IN_A_REQUEST, GivenVector, Question
from quiver.remote import reading
from quiver.remote.questions import bodies_of, body_of, counted
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
from retrieval.expression import Where
from retrieval.regions import GRID, Explained
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

    def explain(
        self,
        collection: str,
        key: str | UUID,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        space: str | None = None,
        grid: int = GRID,
    ) -> Explained:
        """As `Quiver.explain`."""
        asset = self._asset(collection, key)["id"]
        body = body_of(Question(text=text, image=image, audio=audio, like=like))
        said: dict[str, Any] = {name: body[name] for name in ("text", "image", "audio", "like") if name in body}
        said |= {"grid": grid} | ({} if space is None else {"space": space})
        return reading.explained(self._wire.post(place_of(collection, f"assets/{asset}/explain"), said))

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        video: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        vector: GivenVector | None = None,
        mix: Sequence[Mapping[str, Any]] | None = None,
        less: Sequence[str] = (),
        where: Where = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        exact: bool = False,
        fusion: str | None = None,
        weights: Mapping[str, float] | None = None,
        rerank: Sequence[str | Mapping[str, Any]] = (),
        budget: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        without: Iterable[str | UUID] = (),
        explain: bool = False,
        record: bool | None = None,
    ) -> Answer:
        """As `Quiver.search`."""
        question = Question(
            text=text,
            image=image,
            audio=audio,
            video=video,
            like=like,
            vector=vector,
            mix=mix,
            less=less,
            where=where,
            modality=modality,
            limit=limit,
            offset=offset,
            min_score=min_score,
            exact=exact,
            fusion=fusion,
            weights=weights,
            rerank=rerank,
            budget=budget,
            group_by=group_by,
            group_size=group_size,
            without=without,
            explain=explain,
            record=record,
        )
        return reading.answer(self._wire.post(place_of(collection, "search"), body_of(question)))

    def search_many(self, collection: str, queries: Sequence[Question | Mapping[str, Any]]) -> list[Answer]:
        """As `Quiver.search_many`; so many go in one request."""
        bodies = bodies_of(queries)
        out: list[Answer] = []
        for begin in range(0, len(bodies), IN_A_REQUEST):
            some = bodies[begin : begin + IN_A_REQUEST]
            with counted(begin, len(some), len(bodies)):
                found = self._wire.post(place_of(collection, "search/batch"), {"queries": some})
            out += [reading.answer(each) for each in found["answers"]]
        return out

    def embed(self, contents: Sequence[str | bytes], *, model: str | None = None) -> Embedded:
        """As `Quiver.embed`."""
        check({"contents": contents})
        body = {"input": [_content(one) for one in contents], "model": model, "encoding_format": "base64"}
        said = self._wire.post("/v1/embeddings", body)
        rows = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in said["data"]]
        return Embedded(model=said["model"], encoder="", vectors=np.stack(rows).astype(np.float32))

    def rerank(self, query: str, documents: Sequence[str | bytes], *, model: str | None = None) -> Ranked:
        """As `Quiver.rerank`."""
        check({"documents": documents})
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


def _content(one: str | bytes) -> str | dict[str, str]:
    return one if isinstance(one, str) else {"image": base64.b64encode(one).decode()}


def _chosen(
    collection: str, keys: Sequence[str | UUID], kind: str | None, older_than: timedelta | None
) -> dict[str, Any]:
    age = older_than.total_seconds() if older_than is not None else None
    said = {"assets": [str(key) for key in keys], "kind": kind, "older_than_seconds": age}
    return {"collection": collection} | {name: value for name, value in said.items() if value is not None}
