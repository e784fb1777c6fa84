"""Recommendations: for one person as JSON, for many as JSON lines while they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from core.errors import Fault
from core.types import Modality
from quiver.http.access import Reader
from quiver.http.answers import HitOut, Out
from quiver.http.queries import Name, VectorIn, Weight, file_of
from quiver.http.schemas import MOST_CHARS, In, Label
from quiver.http.search import admitted
from quiver.recommending import Feed
from quiver.wishes import Wish
from retrieval.recommendation import Recommendation, Strategy
from retrieval.request import MAX_LIMIT, Fusion

router = APIRouter(prefix="/v1", tags=["recommend"])
MOST_USERS = 1000  # of one request
MOST_SAID = 10_000  # examples
CHARGED = 100  # examples that cost as much as a query
Chars = Annotated[str, Field(max_length=MOST_CHARS)]
Span = Annotated[str, Field(max_length=40, description="90s, 30m, 12h, 7d or 4w")]


class ExampleIn(In):
    """One thing, its weight, and when it was liked."""

    text: Chars | None = None
    image: str | None = Field(default=None, description="Base64 of a file")
    audio: str | None = Field(default=None, description="Base64 of a file")
    like: Name | None = Field(default=None, description="An asset, by id or external id")
    vector: VectorIn | None = None
    weight: Weight = 1.0
    when: str | None = Field(default=None, max_length=40, description="ISO 8601")

    def said(self) -> dict[str, Any]:
        """As the facade is told. Raises BadQuery."""
        made = self.model_dump(exclude_none=True)
        return made | {name: file_of(made[name]) for name in ("image", "audio") if name in made}


class FreshnessIn(In):
    """What is a half-life old by a datetime field loses half of `weight`."""

    field: str = Field(max_length=63)
    half_life: Span
    weight: float = Field(default=0.5, gt=0, le=1)


Examples = Annotated[list[Name | ExampleIn], Field(max_length=MOST_SAID)]


class RecommendQuery(In):
    """What somebody liked and has seen, and what may be recommended."""

    positives: Examples = Field(default=[])
    negatives: Examples = Field(default=[])
    history: Examples = Field(default=[])
    seen: list[Name] = Field(default=[], max_length=1_000_000, description="Ids and external ids")
    strategy: Strategy = Strategy.AVERAGE
    half_life: Span | None = Field(default=None, description="In which the weight of an example halves")
    where: Chars | dict[str, Any] | None = None
    modality: list[Modality] | None = None
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    again: bool = Field(default=False, description="Examples may be recommended, too")
    min_score: float | None = Field(default=None, ge=0, le=1)
    exact: bool = False
    fusion: Fusion | None = None
    weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default={}, max_length=64)
    rerank: list[Annotated[str, Field(max_length=10_000)] | dict[str, Any]] = Field(default=[], max_length=16)
    budget: float | None = Field(default=None, gt=0, le=600)
    freshness: FreshnessIn | None = None
    quota: dict[str, Annotated[int, Field(ge=1)]] = Field(default={}, max_length=16)
    shares: dict[str, dict[str, Annotated[float, Field(gt=0, le=1)]]] = Field(default={}, max_length=16)
    fallback: str = Field(default="recent", max_length=80, description="recent, recent:FIELD, popular:FIELD or none")
    page: str | None = Field(default=None, max_length=100_000, description="The token of the page before")
    reasons: bool = True

    def said(self) -> dict[str, Any]:
        """As the facade is asked, of what was said alone. Raises BadQuery."""
        made = {name: getattr(self, name) for name in self.model_fields_set & Wish.__dataclass_fields__.keys()}
        for name in ("positives", "negatives", "history"):
            if name in made:
                made[name] = [one if isinstance(one, str) else one.said() for one in made[name]]
        if self.freshness is not None:
            made["freshness"] = self.freshness.model_dump()
        return made

    def cost(self) -> int:
        """In queries."""
        given = [*self.positives, *self.negatives, *self.history]
        embedded = sum(not isinstance(one, str) and one.like is None for one in given)
        return 1 + embedded + (len(given) + len(self.seen) // CHARGED) // CHARGED


class UserQuery(RecommendQuery):
    """A person."""

    user: str = Field(min_length=1, max_length=1023)


class RecommendBatch(In):
    """People, and what is meant for all who say nothing else."""

    users: list[UserQuery] = Field(min_length=1, max_length=MOST_USERS)
    defaults: RecommendQuery = RecommendQuery()


class BecauseOut(Out):
    """The example that a thing is nearest to."""

    example: str
    space: str
    score: float


class RecommendedOut(Out):
    """A thing that is recommended, and why."""

    hit: HitOut
    because: BecauseOut | None
    freshness: float | None
    fallback: str | None


class RecommendationOut(Out):
    """What is recommended, best first."""

    items: list[RecommendedOut]
    unknown: list[str]
    pending: list[str]
    fallback: str | None
    page: str | None
    partial: list[str]
    encoders: dict[str, str]
    seconds: float
    notes: list[str]

    @classmethod
    def of(cls, said: Recommendation) -> RecommendationOut:
        """From a recommendation."""
        return cls.model_validate(said)


@router.post("/collections/{collection}/recommend")
def recommend(collection: Label, query: RecommendQuery, caller: Reader) -> RecommendationOut:
    """Recommend what is near what somebody liked, and was not seen."""
    caller.charge(queries=query.cost())
    caller.ranks(query.rerank)
    with admitted():
        return RecommendationOut.of(caller.quiver.recommend(collection, **query.said()))


@router.post(
    "/collections/{collection}/recommend/batch",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def recommend_many(collection: Label, batch: RecommendBatch, caller: Reader) -> StreamingResponse:
    """Recommend to many: a JSON line a person, in order, `recommendation` or `problem`."""
    caller.charge(queries=sum(one.cost() for one in batch.users))
    caller.ranks(stage for one in [batch.defaults, *batch.users] for stage in one.rerank)
    users = [{"user": one.user, **one.said()} for one in batch.users]
    feeds = caller.quiver.recommend_many(collection, users, **batch.defaults.said())  # what is wrong is said at once
    return StreamingResponse(_lines(feeds), media_type="application/x-ndjson")


def _lines(feeds: Iterator[Feed]) -> Iterator[str]:
    try:
        with admitted():
            for feed in feeds:
                yield _line(feed) + "\n"
    except Fault as fault:  # the answer has begun: it is told in its place
        yield json.dumps({"problem": {"kind": fault.kind, "detail": str(fault)}}) + "\n"


def _line(feed: Feed) -> str:
    made = feed.recommendation
    said: dict[str, Any] = {"number": feed.number, "user": feed.user}
    if made is not None:
        said["recommendation"] = RecommendationOut.of(made).model_dump(mode="json")
    if feed.fault is not None:
        said["problem"] = {"kind": feed.fault.kind, "detail": str(feed.fault)}
    return json.dumps(said, ensure_ascii=False)
