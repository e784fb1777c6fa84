"""Search, and the encoders and the order by themselves, in the shapes that others in the field use."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel

from core.errors import BadQuery
from core.filters import words
from quiver.http.access import Reader
from quiver.http.schemas import EmbeddingsQuery, Label, Picture, RerankQuery, SearchQuery, Words
from quiver.http.views import AnswerOut

router = APIRouter(prefix="/v1")
MOST_INPUTS = 2048


class EmbeddingOut(BaseModel):
    """One vector."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """In words: there is no one tokenizer here."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsOut(BaseModel):
    """Vectors in the order of the inputs."""

    object: str = "list"
    data: list[EmbeddingOut]
    model: str
    usage: Usage


class RankedOut(BaseModel):
    """A document and its likeness to the query."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankOut(BaseModel):
    """Documents, likest first."""

    id: str
    model: str
    results: list[RankedOut]
    usage: Usage


@router.post("/collections/{collection}/search", tags=["search"])
def search(collection: Label, query: SearchQuery, caller: Reader) -> AnswerOut:
    """Find assets by words, by a picture, or by their likeness to another."""
    caller.charge(queries=1)
    answer = caller.quiver.search(
        collection,
        query.text,
        image=_picture(query.image) if query.image is not None else None,
        like=query.like,
        where=query.where,
        modality=query.modality,
        limit=query.limit,
        exact=query.exact,
    )
    return AnswerOut.of(answer)


@router.post("/embeddings", tags=["models"])
def embeddings(query: EmbeddingsQuery, caller: Reader) -> EmbeddingsOut:
    """Vectors of texts and pictures, as OpenAI's clients ask for them."""
    inputs = [query.input] if isinstance(query.input, str) else query.input
    caller.charge(queries=1)
    made = caller.quiver.embed([_content(one) for one in inputs], model=caller.profile(query.model or None))
    if query.dimensions not in (None, made.vectors.shape[1]):
        raise BadQuery(f"{made.model} makes vectors of {made.vectors.shape[1]} dimensions: leave `dimensions` out")
    data = [EmbeddingOut(index=i, embedding=_spelt(row, query.encoding_format)) for i, row in enumerate(made.vectors)]
    return EmbeddingsOut(data=data, model=made.model, usage=_usage(inputs))


@router.post("/rerank", tags=["models"])
def rerank(query: RerankQuery, caller: Reader) -> RerankOut:
    """Documents by their likeness to a query: the cosine in a space that embeds both."""
    caller.charge(queries=1)
    documents = [_content(one) for one in query.documents]
    ranked = caller.quiver.rerank(query.query, documents, model=caller.profile(query.model or None))
    results = [
        RankedOut(
            index=at,
            relevance_score=score,
            document=_shown(query.documents[at]) if query.return_documents else None,
        )
        for at, score in ranked.order[: query.top_n]
    ]
    return RerankOut(
        id=str(uuid4()), model=ranked.model, results=results, usage=_usage([query.query, *query.documents])
    )


def _picture(said: str) -> bytes:
    """Base64, with or without the head of a data URL. Raises BadQuery."""
    body = said.partition(",")[2] if said.startswith("data:") else said
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadQuery(f"the picture is not base64 ({exc}): encode its file") from exc


def _content(one: str | Words | Picture) -> str | bytes:
    match one:
        case Words(text=text):
            return text
        case Picture(image=image):
            return _picture(image)
        case str():
            return one


def _shown(one: str | Words | Picture) -> dict[str, Any]:
    return {"text": one} if isinstance(one, str) else one.model_dump()


def _spelt(row: Any, encoding: str) -> list[float] | str:
    said = np.asarray(row, "<f4")
    return base64.b64encode(said.tobytes()).decode() if encoding == "base64" else [float(x) for x in said]


def _usage(inputs: Sequence[str | Words | Picture]) -> Usage:
    said = sum(len(words(one)) for one in map(_content, inputs) if isinstance(one, str))
    return Usage(prompt_tokens=said, total_tokens=said)
