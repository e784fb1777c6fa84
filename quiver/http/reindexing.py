"""Reindexing: for administrators in a collection of their tenant; where it is there for all, for the operator."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import Field

from core.fields import FieldType
from core.records import Quantization
from quiver.http.access import Admin, Caller, able
from quiver.http.calibrating import JudgedIn
from quiver.http.indexes import PlanOut, StandingOut, VerdictOut
from quiver.http.places import place
from quiver.http.schemas import In, Label
from workers.collections import index_label
from workers.trec import PARTS
from workers.verify import BUDGET, RECALL

router = APIRouter(prefix="/v1/collections/{collection}/reindex", tags=["reindex"])
MOST_SAMPLED, MOST_QUERIES, MOST_JUDGED = 256, 100, 1000  # of a verification: a request waits for it
Name = Annotated[str, Field(max_length=255)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
MOST = "Assets a second at most; 0: as fast as it can; not said: as before"
Rate = Annotated[float, Field(ge=0, le=1e6, strict=True, description=MOST)]


class StorageIn(In):
    """How dense vectors are kept; what is not said stays."""

    quantization: Quantization | None = None
    m: int | None = Field(default=None, ge=4, le=128, strict=True, description="Neighbours of a point in the graph")
    ef_construct: int | None = Field(default=None, ge=4, le=4096, strict=True, description="Candidates for them")
    on_disk: bool | None = Field(default=None, strict=True)


class WishIn(In):
    """What is to be changed; what is not said stays."""

    profile: Name | None = Field(default=None, description="Whose encoders")
    spaces: list[Name] | None = Field(
        default=None, max_length=32, description="Only these of the profile; else as now, or all of another profile"
    )
    fields: dict[str, FieldType] = Field(default={}, max_length=200, description="To be declared or changed")
    drop_fields: list[Name] = Field(default=[], max_length=200)
    storage: StorageIn = StorageIn()

    def said(self, caller: Caller) -> dict[str, Any]:
        """As the facade takes it. Raises Forbidden for a profile that may not be named."""
        return {
            "profile": caller.profile(self.profile),
            "spaces": self.spaces,
            "fields": {name: str(kind) for name, kind in self.fields.items()},
            "drop_fields": self.drop_fields,
            "storage": self.storage.model_dump(exclude_none=True) or None,
        }


class StartIn(WishIn):
    """The same, and how fast."""

    rate: Rate | None = None
    anew: bool = Field(default=False, strict=True, description="Also when nothing would change")


class JudgedQuery(JudgedIn):
    """The same with what the query is called."""

    id: str = Field(max_length=255, pattern=r"^\S+$")

    def row(self) -> dict[str, Any]:
        """As the facade takes it. Raises BadQuery."""
        said = self.query.question()
        return {"id": self.id} | {part: thing for part in PARTS if (thing := getattr(said, part))}


class VerifyIn(In):
    """What is compared."""

    sample: int = Field(default=64, ge=0, le=MOST_SAMPLED, strict=True, description="Assets that are embedded again")
    recall: Share = Field(default=RECALL, description="Of the exact nearest, the part that must be found")
    queries: list[Annotated[str, Field(max_length=10_000)]] = Field(
        default=[], max_length=MOST_QUERIES, description="Texts that both indexes are asked"
    )
    overlap: Share = Field(default=0.0, description="Part of their nearest that must be the same")
    judged: list[JudgedQuery] = Field(default=[], max_length=MOST_JUDGED)
    budget: Share = Field(default=BUDGET, description="What nDCG@10 of the judged queries may fall by")


class WhyIn(In):
    """Why; it is kept with the index."""

    reason: str | None = Field(default=None, max_length=500, pattern=r"^[^\x00]*$")


class Going(In):
    """How fast it goes on."""

    rate: Rate | None = None


Why = Annotated[WhyIn | None, Body()]


@router.get("")
def status(collection: Label, caller: Admin) -> StandingOut:
    """How it stands: which indexes there are, how far the coming one is, what it lacks, what verifying found."""
    return StandingOut.of(caller.quiver.reindex_status(collection))


@router.post("/plan")
def plan(collection: Label, wish: WishIn, caller: Admin) -> PlanOut:
    """What it would take, measured on a few assets; nothing is written."""
    with place():
        return PlanOut.of(caller.quiver.reindex_plan(collection, **wish.said(caller)))


@router.post("/start", status_code=202)
def start(collection: Label, wish: StartIn, caller: Admin) -> StandingOut:
    """Make another index beside the one that serves, and leave the build to the workers."""
    said = caller.quiver.reindex_start(collection, rate=wish.rate, anew=wish.anew, **wish.said(caller))
    return StandingOut.of(said)


@router.post("/verify")
def verify(collection: Label, caller: Admin, how: Annotated[VerifyIn | None, Body()] = None) -> VerdictOut:
    """Compare the built index with the catalogue, with the one that serves, and with its own models. May take minutes;
    the verdict is kept, for `GET …/reindex`, though nobody waits for it."""
    what = how or VerifyIn()
    with place(), able():
        said = caller.quiver.reindex_verify(
            collection,
            sample=what.sample,
            recall=what.recall,
            queries=what.queries,
            overlap=what.overlap,
            judged=[one.row() for one in what.judged] or None,
            qrels={one.id: one.grades for one in what.judged} or None,
            budget=what.budget,
        )
    return VerdictOut.of(said)


@router.post("/switch")
def switch(collection: Label, caller: Admin, why: Why = None) -> StandingOut:
    """Have the verified index serve, from one query to the next. A conflict, with a list, when something that is found
    now would be lost; not so with a reason."""
    return StandingOut.of(caller.quiver.reindex_switch(collection, reason=why.reason if why else None))


@router.post("/rollback")
def rollback(collection: Label, caller: Admin, why: Why = None) -> StandingOut:
    """Have the index serve again that did before the switch. A conflict when it lacks something; not so with a
    reason."""
    return StandingOut.of(caller.quiver.reindex_rollback(collection, reason=why.reason if why else None))


@router.post("/retire")
def retire(collection: Label, caller: Admin) -> list[str]:
    """Drop the indexes that served before, were rolled back or given up: their ids. There is no way back then."""
    return [index_label(each) for each in caller.quiver.reindex_retire(collection)]


@router.post("/abort")
def abort(collection: Label, caller: Admin, why: Why = None) -> StandingOut:
    """Give up the index that is being built, and drop it."""
    return StandingOut.of(caller.quiver.reindex_abort(collection, reason=_said(why)))


@router.post("/pause")
def pause(collection: Label, caller: Admin, why: Why = None) -> StandingOut:
    """Have nothing more built until it is resumed. Live writes still go to both."""
    return StandingOut.of(caller.quiver.reindex_pause(collection, reason=_said(why)))


@router.post("/resume", status_code=202)
def resume(collection: Label, caller: Admin, how: Annotated[Going | None, Body()] = None) -> StandingOut:
    """Go on, with what failed too; by the workers."""
    return StandingOut.of(caller.quiver.reindex_resume(collection, rate=how.rate if how else None))


def _said(why: WhyIn | None) -> str:
    return (why.reason if why else None) or ""
