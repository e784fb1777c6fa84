"""Why a query finds an asset, as JSON."""

from __future__ import annotations

import base64
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from core.types import Modality
from quiver.http.access import Reader
from quiver.http.answers import MatchOut, Out
from quiver.http.queries import File, Name, Text, file_of
from quiver.http.schemas import In, Label
from quiver.http.search import admitted
from retrieval.regions import GRID, LEAST_GRID, MOST_GRID, Explained

router = APIRouter(prefix="/v1", tags=["search"])
PICTURES = 8  # of a grid that cost as much as a query


class ExplainQuery(In):
    """One thing that is asked by."""

    text: Text
    image: File
    audio: File
    like: Name | None = Field(default=None, description="An asset, by id or external id")
    space: Annotated[str, Field(max_length=255)] | None = None
    grid: int = Field(default=GRID, ge=LEAST_GRID, le=MOST_GRID, description="Cells of a picture, each way")


class RegionOut(Out):
    """What each cell of a picture is worth; `box`: left, top, right, bottom, as shares of width and height."""

    space: str
    score: float
    grid: int
    drops: list[list[float]]
    drop: float
    box: tuple[float, float, float, float] | None


class ExplainedOut(Out):
    """The nearest segments of an asset and the region of a picture; `picture` is a PNG in base64."""

    asset: UUID
    external_id: str
    modality: Modality
    matches: list[MatchOut]
    region: RegionOut | None
    picture: str | None

    @classmethod
    def of(cls, said: Explained) -> ExplainedOut:
        """From an explanation."""
        return cls(
            asset=said.asset,
            external_id=said.external_id,
            modality=said.modality,
            matches=[MatchOut.model_validate(match) for match in said.matches],
            region=None if said.region is None else RegionOut.model_validate(said.region),
            picture=None if said.picture is None else base64.b64encode(said.picture).decode(),
        )


@router.post("/collections/{collection}/assets/{asset}/explain")
def explain(collection: Label, asset: UUID, query: ExplainQuery, caller: Reader) -> ExplainedOut:
    """Why a query finds an asset: its nearest segments, and of a picture the region that makes it so."""
    caller.charge(queries=1 + (query.grid - 1) ** 2 // PICTURES)
    files = {name: file_of(said) for name in ("image", "audio") if (said := getattr(query, name)) is not None}
    with admitted():
        made = caller.quiver.explain(
            collection, asset, query.text, **files, like=query.like, space=query.space, grid=query.grid
        )
        return ExplainedOut.of(made)
