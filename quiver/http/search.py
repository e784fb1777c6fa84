"""Search, and the encoders and the order by themselves, in the shapes that others in the field use."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any
from uuid import uuid4

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel

from core.errors import BadQuery, Overloaded
from core.filters import words
from core.types import Modality
from quiver.http.access import Reader
from quiver.http.answers import AnswerOut, AnswersOut
from quiver.http.queries import SearchQueries, SearchQuery, file_of
from quiver.http.schemas import EmbeddingsQuery, Label, Picture, RerankQuery, Words
from quiver.reports import ModelView

router = APIRouter(prefix="/v1")
PLACES = 32  # requests that use the models at once: of 40 threads
PICTURES = 16  # of one request
CHARS = 8192  # of text that cost as much as a query
_places = BoundedSemaphore(PLACES)


class ModelOut(BaseModel):
    """A profile."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "quiver"
    model: str
    embeds: list[Modality]
    about: str
    here: bool
    megabytes: int

    @classmethod
    def of(cls, name: str, said: ModelView | None) -> ModelOut:
        """From a report; a profile of a folder or a hub id has none."""
        if said is None:
            return cls(id=name, model="", embeds=[], about="named by the settings", here=False, megabytes=0)
        return cls(
            id=name,
            model=said.model,
            embeds=sorted(said.embeds),
            about=said.about,
            here=said.here,
            megabytes=said.megabytes,
        )


class ModelsOut(BaseModel):
    """Profiles by name."""

    object: str = "list"
    data: list[ModelOut]


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
    """Find assets by words, a picture, a sound, a film, their likeness to another, a vector, or a mixture of these."""
    caller.charge(queries=query.cost())
    caller.ranks(query.rerank)
    with admitted():
        return AnswerOut.of(caller.quiver.search_many(collection, [query.question()])[0])


@router.post("/collections/{collection}/search/batch", tags=["search"])
def search_many(collection: Label, queries: SearchQueries, caller: Reader) -> AnswersOut:
    """Several searches at once, answered in order."""
    caller.charge(queries=sum(query.cost() for query in queries.queries))
    caller.ranks(stage for query in queries.queries for stage in query.rerank)
    with admitted():
        found = caller.quiver.search_many(collection, [query.question() for query in queries.queries])
        return AnswersOut(answers=[AnswerOut.of(answer) for answer in found])


@router.get("/models", tags=["models"])
def models(caller: Reader) -> ModelsOut:
    """The profiles that a request may name, as OpenAI's clients ask for them."""
    known = {each.name: each for each in caller.quiver.models()}
    return ModelsOut(data=[ModelOut.of(name, known.get(name)) for name in sorted(caller.profiles())])


@router.post("/embeddings", tags=["models"])
def embeddings(query: EmbeddingsQuery, caller: Reader) -> EmbeddingsOut:
    """Vectors of texts and pictures, as OpenAI's clients ask for them."""
    inputs = [query.input] if isinstance(query.input, str) else query.input
    caller.charge(queries=_cost(inputs))
    model = caller.profile(query.model or None)
    with admitted():
        made = caller.quiver.embed([_content(one) for one in inputs], model=model)
    if query.dimensions not in (None, made.vectors.shape[1]):
        raise BadQuery(f"{made.model} makes vectors of {made.vectors.shape[1]} dimensions: leave `dimensions` out")
    data = [EmbeddingOut(index=i, embedding=_spelt(row, query.encoding_format)) for i, row in enumerate(made.vectors)]
    return EmbeddingsOut(data=data, model=made.model, usage=_usage(inputs))


@router.post("/rerank", tags=["models"])
def rerank(query: RerankQuery, caller: Reader) -> RerankOut:
    """Documents by their likeness to a query: the cosine in a space that embeds both."""
    caller.charge(queries=_cost(query.documents))
    model = caller.profile(query.model or None)
    with admitted():
        ranked = caller.quiver.rerank(_worded(query.query), [_content(one) for one in query.documents], model=model)
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


def _content(one: str | Words | Picture) -> str | bytes:
    match one:
        case Words(text=text):
            return _worded(text)
        case Picture(image=image):
            return file_of(image)
        case str():
            return _worded(one)


def _worded(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadQuery("half of a surrogate pair (\\ud800 to \\udfff) is no character") from exc
    return text


def _cost(inputs: Sequence[str | Words | Picture]) -> int:
    """What a request costs, in queries: as many as its texts hold CHARS, and one for each picture; at least one.

    Raises BadQuery for more pictures than are decoded at once.
    """
    pictures = sum(isinstance(one, Picture) for one in inputs)
    if pictures > PICTURES:
        raise BadQuery(f"{pictures} pictures: send at most {PICTURES} at once")
    chars = sum(len(one.text if isinstance(one, Words) else one) for one in inputs if not isinstance(one, Picture))
    return max(1, math.ceil(chars / CHARS) + pictures)


@contextmanager
def admitted() -> Iterator[None]:
    """A place among the requests that use the models; there are fewer than threads, so that others are served, too.

    Raises Overloaded when none is free.
    """
    if not _places.acquire(blocking=False):
        fault = Overloaded("as many searches run as there are places for: send it again in a moment")
        fault.retry_after = 1.0
        raise fault
    try:
        yield
    finally:
        _places.release()


def _shown(one: str | Words | Picture) -> dict[str, Any]:
    return {"text": one} if isinstance(one, str) else one.model_dump()


def _spelt(row: Any, encoding: str) -> list[float] | str:
    said = np.asarray(row, "<f4")
    return base64.b64encode(said.tobytes()).decode() if encoding == "base64" else [float(x) for x in said]


def _usage(inputs: Sequence[str | Words | Picture]) -> Usage:
    said = sum(len(words(one)) for one in map(_content, inputs) if isinstance(one, str))
    return Usage(prompt_tokens=said, total_tokens=said)
