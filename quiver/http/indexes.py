"""Indexes, and how they are tended, as JSON. What tells a tenant's collections from others' is in none of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from core.fields import FieldType
from core.indexes import Tended
from core.records import IndexState
from core.types import Modality, Reading
from quiver.http.answers import Out
from workers.collections import index_label, label_of
from workers.reindex import Standing
from workers.verify import Verdict
from workers.wishes import Plan


class StorageOut(Out):
    """How dense vectors are kept."""

    quantization: str
    m: int
    ef_construct: int
    on_disk: bool


class IndexOut(BaseModel):
    """An index, and how it is tended."""

    id: str
    state: IndexState
    profile: str
    spaces: list[dict[str, Any]]
    fields: dict[str, FieldType]
    reads: list[Reading]
    storage: StorageOut
    plan: dict[str, Any]
    note: str
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, said: Tended) -> IndexOut:
        """From a record."""
        index, plan = said.index, dict(said.plan)
        return cls(
            id=index_label(index.id),
            state=index.state,
            profile=index.profile,
            spaces=[space.as_dict() for space in index.spaces],
            fields=dict(index.fields),
            reads=sorted(index.reads),
            storage=StorageOut.model_validate(index.storage),
            plan=plan | ({"from": index_label(plan["from"])} if "from" in plan else {}),
            note=said.note,
            created_at=said.created_at,
            changed_at=said.changed_at,
        )


class CoverageOut(Out):
    """How far an index has come, in assets."""

    present: int
    held: int
    failed: int
    in_hand: int
    lately: int
    retrying: int
    failures: dict[str, int]


class CheckOut(Out):
    """One comparison."""

    name: str
    passed: bool
    message: str
    figure: float | None


class StandingOut(BaseModel):
    """How a collection's indexes stand."""

    collection: str
    serving: IndexOut
    coming: IndexOut | None
    kept: list[IndexOut]
    coverage: CoverageOut | None
    lacks: int
    examples: list[tuple[str, str]]
    rate: float
    seconds_left: float | None
    paused: bool
    checks: list[CheckOut]
    verified_at: datetime | None

    @classmethod
    def of(cls, said: Standing) -> StandingOut:
        """From a report."""
        return cls(
            collection=label_of(said.collection),
            serving=IndexOut.of(said.serving),
            coming=None if said.coming is None else IndexOut.of(said.coming),
            kept=[IndexOut.of(one) for one in said.kept],
            coverage=None if said.coverage is None else CoverageOut.model_validate(said.coverage),
            lacks=said.lacks,
            examples=list(said.examples),
            rate=said.rate,
            seconds_left=said.seconds_left,
            paused=said.paused,
            checks=[CheckOut.model_validate(dict(one)) for one in said.checks],
            verified_at=said.verified_at,
        )


class RehearsalOut(Out):
    """A sample of assets, and what happened to it."""

    assets: int
    failed: dict[str, int]
    each: dict[Modality, float]
    writing: float
    lanes: int
    messages: list[str]


class PlanOut(Out):
    """What a reindexing would do."""

    collection: str
    profile: str
    copied: list[str]
    embedded: list[str]
    dropped: list[str]
    fields_added: list[str]
    fields_dropped: list[str]
    storage: StorageOut
    storage_was: StorageOut
    assets: int
    decoded: int
    points: int
    seconds: float | None
    bytes: int
    free: int | None
    sample: RehearsalOut
    nothing: bool

    @classmethod
    def of(cls, said: Plan) -> PlanOut:
        """From a report."""
        made = cls.model_validate(said)
        return made.model_copy(update={"collection": label_of(said.collection)})


class VerdictOut(Out):
    """What came of all comparisons."""

    index: str
    passed: bool
    checks: list[CheckOut]

    @classmethod
    def of(cls, said: Verdict) -> VerdictOut:
        """From a report."""
        made = cls.model_validate(said)
        return made.model_copy(update={"index": index_label(said.index)})
