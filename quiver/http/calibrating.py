"""How scores are read: fitted anew by an administrator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.types import Modality
from quiver.http.access import Admin
from quiver.http.queries import SearchQuery
from quiver.http.schemas import In, Label
from workers.calibrating import Fitted
from workers.recording import MOST_GRADE

router = APIRouter(prefix="/v1/admin", tags=["admin"])
Key = Annotated[str, Field(min_length=1, max_length=1023)]
Grade = Annotated[int, Field(ge=0, le=MOST_GRADE)]


class JudgedIn(In):
    """A query, and grades of assets by id or external id: more than 0 is right."""

    query: SearchQuery
    grades: dict[Key, Grade] = Field(max_length=10_000)


class Calibration(In):
    """What to calibrate, and judgements where there are some."""

    collection: Label
    judged: list[JudgedIn] = Field(default=[], max_length=10_000)


class FittedOut(BaseModel):
    """A curve that was made. `even`: the score that is as likely right as wrong."""

    space: str
    asked: Modality
    content: Modality
    questions: int
    judged: int
    even: float | None

    @classmethod
    def of(cls, said: Fitted) -> FittedOut:
        """From a report."""
        return cls(**{name: getattr(said, name) for name in cls.model_fields})


@router.post("/calibrate")
def calibrate(what: Calibration, caller: Admin) -> list[FittedOut]:
    """Fit how scores become probabilities of relevance; done unasked, too, but by judgements only here."""
    judged = [(one.query.question(), one.grades) for one in what.judged]
    return [FittedOut.of(one) for one in caller.quiver.calibrate(what.collection, judged=judged)]
