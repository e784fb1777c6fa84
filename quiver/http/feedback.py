"""Feedback: how good assets are as answers to recorded searches."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from quiver.http.access import Admin, Reader
from quiver.http.schemas import In, Label, Page
from quiver.judging import Judgement
from workers.recording import MOST_GRADE

router = APIRouter(prefix="/v1/collections/{collection}", tags=["feedback"])


class VerdictIn(In):
    """An asset of an answer, and how good it is."""

    query: UUID = Field(description="Of the answer: its `query`, where the search was recorded")
    asset: str = Field(max_length=1023, description="By id or external id")
    grade: int = Field(default=1, ge=0, le=MOST_GRADE, strict=True, description="0: wrong; 1: right; larger: better")


class JudgementOut(BaseModel):
    """A recorded search, and the grades that assets got."""

    query: UUID
    said: dict[str, Any] = Field(description="As a line of a file of queries; files by their digest")
    grades: dict[str, int] = Field(description="By external id")
    lost: list[str] = Field(description="What it was asked by and is not kept: it cannot be asked again")

    @classmethod
    def of(cls, said: Judgement) -> JudgementOut:
        """From a report."""
        return cls(query=said.query, said=dict(said.said), grades=dict(said.grades), lost=list(said.lost))


class JudgementsOut(BaseModel):
    """A page by id; `after` names the next one, and is null at the end."""

    judgements: list[JudgementOut]
    after: UUID | None


@router.post("/feedback", status_code=204)
def judge(collection: Label, verdict: VerdictIn, caller: Reader) -> None:
    """Say how good an asset is as an answer to a recorded search. The last verdict on an asset stands."""
    caller.charge(queries=1)
    caller.quiver.feedback(collection, verdict.query, verdict.asset, verdict.grade)


@router.get("/feedback")
def judgements(
    collection: Label,
    caller: Admin,
    after: Annotated[UUID | None, Query(description="The last search of the page before")] = None,
    limit: Annotated[Page, Query()] = 1000,
) -> JudgementsOut:
    """Recorded searches that have verdicts: what was asked may be personal, so that it takes an administrator."""
    page = caller.quiver.judgement_page(collection, after=after, limit=limit)
    return JudgementsOut(
        judgements=[JudgementOut.of(one) for one in page], after=page[-1].query if len(page) == limit else None
    )
