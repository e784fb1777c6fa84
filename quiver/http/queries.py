"""Searches as JSON."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import Field

from core.errors import BadQuery
from core.types import Modality
from quiver.asking import IN_A_REQUEST, Question
from quiver.http.schemas import MOST_CHARS, In
from retrieval.request import DEEPEST, MAX_LIMIT, MAX_PARTS, Fusion

Name = Annotated[str, Field(max_length=1023)]
MOST_VALUES = 65_536  # of a vector
Weight = Annotated[float, Field(ge=-1e6, le=1e6)]
Text = Annotated[str | None, Field(default=None, max_length=MOST_CHARS)]
File = Annotated[str | None, Field(default=None, description="Base64 of a file")]


class VectorIn(In):
    """A vector of a space; `indices` where the space is sparse."""

    space: str = Field(max_length=255)
    values: list[float] = Field(min_length=1, max_length=MOST_VALUES)
    indices: list[Annotated[int, Field(ge=0, lt=2**32)]] | None = Field(default=None, max_length=MOST_VALUES)
    modality: Modality | None = None


class PartIn(In):
    """One kind of thing and its weight; of a negative weight, what is not wanted."""

    text: Text
    image: File
    audio: File
    video: File
    like: Name | None = Field(default=None, description="An asset, by id or external id")
    vector: VectorIn | None = None
    weight: Weight = 1.0


class SearchQuery(In):
    """A query: words, files in base64, an asset to be like, a vector; or several of them, mixed."""

    text: Text
    image: File
    audio: File
    video: File
    like: Name | None = Field(default=None, description="An asset, by id or external id")
    vector: VectorIn | None = None
    mix: list[PartIn] = Field(default=[], max_length=MAX_PARTS)
    less: list[Annotated[str, Field(max_length=MOST_CHARS)]] = Field(
        default=[], max_length=MAX_PARTS, description="Words that are not wanted"
    )
    where: Annotated[str, Field(max_length=MOST_CHARS)] | dict[str, Any] | None = Field(
        default=None,
        description="An expression, kind = photo and price < 20; or Qdrant's filter JSON, as an object or as text",
    )
    modality: list[Modality] | None = None
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0, lt=DEEPEST)
    min_score: float | None = Field(default=None, ge=0, le=1, description="A probability of relevance")
    exact: bool = Field(default=False, description="Compare with every point")
    fusion: Fusion | None = None
    weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        default={}, max_length=64, description="Of spaces by name"
    )
    rerank: list[Annotated[str, Field(max_length=10_000)] | dict[str, Any]] = Field(
        default=[], max_length=16, description="Stages: `name:key=value`, or an object with `stage`"
    )
    budget: float | None = Field(default=None, gt=0, le=600, description="Seconds for the stages")
    group_by: str | None = Field(default=None, max_length=63)
    group_size: int = Field(default=1, ge=1, le=MAX_LIMIT)
    without: list[Name] = Field(default=[], max_length=10_000, description="Assets that are not to be found")
    explain: bool = False
    record: bool | None = Field(
        default=None,
        description="Whether it is recorded, so that its answer can be judged; without it as the server says",
    )

    def question(self) -> Question:
        """As the facade is asked. Raises BadQuery."""
        said: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        for name in ("image", "audio", "video"):
            said[name] = _file(said[name])
        said["vector"] = None if self.vector is None else self.vector.model_dump()
        said["mix"] = [_part(part) for part in self.mix]
        return Question(**said)

    def cost(self) -> int:
        """In queries: one for each thing that is embedded."""
        things = [self.text, self.image, self.audio, self.video, *self.less]
        return max(1, sum(thing is not None for thing in things) + len(self.mix))


class SearchQueries(In):
    """Several queries of one collection."""

    queries: list[SearchQuery] = Field(min_length=1, max_length=IN_A_REQUEST)


def _part(part: PartIn) -> dict[str, Any]:
    said = part.model_dump(exclude_none=True)
    return said | {name: _file(said[name]) for name in ("image", "audio", "video") if name in said}


def file_of(said: str) -> bytes:
    """Base64, with or without the head of a data URL. Raises BadQuery."""
    body = said.partition(",")[2] if said.startswith("data:") else said
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadQuery(f"the file is not base64 ({exc}): encode its file") from exc


def _file(said: str | None) -> bytes | None:
    return None if said is None else file_of(said)
