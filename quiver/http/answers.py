"""Answers to searches as JSON."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from core.types import Modality, Reading
from retrieval.request import Answer


class Out(BaseModel):
    """Read from the attributes of a word of ours."""

    model_config = ConfigDict(from_attributes=True)


class SpanOut(Out):
    """Where a segment lies in its asset."""

    start: float
    end: float
    unit: Literal["char", "second"]


class MatchOut(Out):
    """The best segment of a hit in one space."""

    space: str
    content: Modality
    score: float
    probability: float | None
    rank: int
    ordinal: int
    source: Reading | None
    span: SpanOut | None
    text: str | None


class EffectOut(Out):
    """What a stage did to a hit."""

    stage: str
    rank_before: int | None
    rank: int
    score_before: float | None
    score: float
    note: str


class HitOut(Out):
    """An asset that was found."""

    asset: UUID
    external_id: str
    modality: Modality
    media_type: str
    digest: str
    metadata: dict[str, Any]
    score: float
    relevance: float | None
    text: str | None
    matches: list[MatchOut]
    effects: list[EffectOut]


class AnswerOut(Out):
    """Hits, best first, whose judgement it is, and the seconds that each stage took."""

    hits: list[HitOut]
    encoders: dict[str, str]
    seconds: dict[str, float]
    partial: list[str]
    query: UUID | None
    notes: list[str]

    @classmethod
    def of(cls, said: Answer) -> AnswerOut:
        """From an answer."""
        return cls.model_validate(said)


class AnswersOut(BaseModel):
    """Answers in the order of the queries."""

    answers: list[AnswerOut]
