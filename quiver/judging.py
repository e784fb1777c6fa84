"""Feedback: which searches are recorded, what is kept of them, and what is said of their answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from core.errors import NoSuchQuery
from core.types import AssetId, Modality
from ingest.files import opened
from quiver.asking import KINDS, Question
from quiver.base import Base
from retrieval.filter_json import write
from retrieval.request import Like, SearchRequest, singles
from workers.recording import judge, judged

FILES = ("image", "audio", "video")
BLOCK = 1 << 20  # bytes that are hashed at once
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A recorded search as a line of a file of queries, and the grades that assets got.

    `lost`: what it was asked by and is not kept, a picture say; then it cannot be asked again.
    """

    query: UUID
    said: Mapping[str, Any]
    grades: Mapping[str, int]  # by external id
    lost: tuple[str, ...]


class Judging(Base):
    """What people say of answers."""

    def feedback(self, collection: str, query: UUID | str, asset: str | UUID, grade: int = 1) -> None:
        """How good an asset, by id or external id, is as an answer to a recorded search: `Answer.query` names it.

        0 is wrong, 1 right, up to 100 better. Twice is once, and the last verdict on an asset stands. Raises
        NoSuchQuery, NoSuchAsset, BadQuery.
        """
        kept = self._collection(collection)
        try:
            named = UUID(str(query))
        except ValueError:
            raise NoSuchQuery from None
        judge(self._parts, self._tenant, kept.name, named, self._asset(kept, asset).id, grade)

    def judgements(self, collection: str) -> Iterator[Judgement]:
        """All recorded searches that have verdicts, by id: what `evaluate` reads."""
        after: UUID | None = None
        while page := self.judgement_page(collection, after=after, limit=PAGE):
            yield from page
            after = page[-1].query

    def judgement_page(self, collection: str, *, after: UUID | None = None, limit: int = PAGE) -> list[Judgement]:
        """Those behind `after`."""
        kept = self._collection(collection)
        return [
            Judgement(
                query=asked.id,
                said=asked.said,
                grades={verdict.external_id: verdict.grade for verdict in verdicts},
                lost=lost(asked.said),
            )
            for asked, verdicts in judged(self._parts, self._tenant, kept.name, after, limit)
        ]

    def _told(self, said: Question, request: SearchRequest) -> dict[str, Any] | None:
        """What is kept of a search; None: nothing, as the caller or the settings say."""
        if not (self._parts.settings.record_queries if said.record is None else said.record):
            return None
        return told(said, request)


def told(said: Question, request: SearchRequest) -> dict[str, Any]:
    """A search as a line of a file of queries: words as they are, assets by id, of files and vectors only what they
    were. What an asset is called may be personal, and goes with it; its id says nothing."""
    likes = iter([single.asset for single in singles(request.query) if isinstance(single, Like)])
    out = _kinds({kind: getattr(said, kind) for kind in KINDS}, likes)
    if said.mix:
        out["mix"] = [_kinds(part, likes) | {"weight": float(part.get("weight", 1.0))} for part in said.mix]
    if said.less:
        out["less"] = list(said.less)
    if request.where is not None:
        out["where"] = write(request.where)
    if len(request.modalities) < len(Modality):
        out["modality"] = sorted(request.modalities)
    return out


def lost(said: Mapping[str, Any]) -> tuple[str, ...]:
    """What a recorded search was asked by and is not kept."""
    parts = (said, *said.get("mix", ()))
    return tuple(dict.fromkeys(kind for part in parts for kind in (*FILES, "vector") if kind in part))


def _kinds(part: Mapping[str, Any], likes: Iterator[AssetId | str]) -> dict[str, Any]:
    """Assets come in the order in which the query names them."""
    out: dict[str, Any] = {}
    for kind in KINDS:
        given = part.get(kind)
        if given is None:
            continue
        if kind == "text":
            out[kind] = given
        elif kind == "like":
            out[kind] = str(next(likes))
        else:
            out[kind] = {"sha256": _digest(given)} if kind in FILES else {"space": _space(given)}
    return out


def _digest(given: str | Path | bytes) -> str:
    if isinstance(given, bytes):
        return hashlib.sha256(given).hexdigest()
    hashed = hashlib.sha256()
    with opened(Path(given)) as source:
        while piece := source.read(BLOCK):
            hashed.update(piece)
    return hashed.hexdigest()


def _space(given: Any) -> str:
    if isinstance(given, Mapping):
        return str(given["space"])
    return str(given[0] if isinstance(given, tuple) else given.space)
