"""What goes out as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from core.desk import ApiKey, Role
from core.fields import FieldType
from core.records import Failure, Outcome, State
from core.types import Modality, Reading
from quiver.reports import Added, AssetState, AssetView, CollectionStatus, JobStatus
from workers.collections import label_of
from workers.reconcile import Drift


class CollectionOut(BaseModel):
    """A collection."""

    name: str
    profile: str
    fields: dict[str, FieldType]
    reads: list[Reading]
    encoders: dict[str, str]
    counts: dict[State, int]

    @classmethod
    def of(cls, said: CollectionStatus) -> CollectionOut:
        """From a report."""
        return cls(
            name=said.name,
            profile=said.profile,
            fields=dict(said.fields),
            reads=sorted(said.reads),
            encoders=dict(said.encoders),
            counts=dict(said.counts),
        )


class StatsOut(BaseModel):
    """Where the time of indexing goes."""

    stages: dict[str, float]


class FailureOut(BaseModel):
    """Why an asset has no points."""

    asset: UUID
    external_id: str
    kind: str
    message: str
    attempts: int
    at: datetime
    retry_at: datetime | None

    @classmethod
    def of(cls, said: Failure) -> FailureOut:
        """From a record."""
        return cls(
            asset=said.asset_id,
            external_id=said.external_id,
            kind=said.kind,
            message=said.message,
            attempts=said.attempts,
            at=said.at,
            retry_at=said.retry_at,
        )


class AssetOut(BaseModel):
    """An asset and its state."""

    id: UUID
    collection: str
    external_id: str
    modality: Modality
    media_type: str
    digest: str
    size: int
    metadata: dict[str, Any]
    generation: int
    created_at: datetime
    state: State
    failure: FailureOut | None = None

    @classmethod
    def of(cls, said: AssetState | AssetView) -> AssetOut:
        """From a report."""
        asset, failure = said.asset, said.failure if isinstance(said, AssetView) else None
        return cls(
            id=asset.id,
            collection=label_of(asset.collection),
            external_id=asset.external_id,
            modality=asset.modality,
            media_type=asset.media_type,
            digest=asset.digest,
            size=asset.size,
            metadata=dict(asset.metadata),
            generation=asset.generation,
            created_at=asset.created_at,
            state=said.state,
            failure=FailureOut.of(failure) if failure else None,
        )


class AssetsPage(BaseModel):
    """A page of assets."""

    assets: list[AssetOut]
    next: str | None  # what `after` is for the next page


class RefusedOut(BaseModel):
    """Something that was not taken in, and why."""

    name: str
    kind: str
    message: str
    line: int | None = None


class AddedOut(BaseModel):
    """An asset that was taken in. `url` tells how it stands."""

    id: UUID
    external_id: str
    outcome: Outcome
    url: str

    @classmethod
    def of(cls, collection: str, said: Added) -> AddedOut:
        """From a report."""
        url = f"/v1/collections/{collection}/assets/{said.id}"
        return cls(id=said.id, external_id=said.external_id, outcome=said.outcome, url=url)


class JobOut(BaseModel):
    """A bulk job. `done` when every line was read and no asset waits."""

    id: UUID
    collection: str
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    lines: int
    counts: dict[State, int]
    refused: int
    refusals: list[RefusedOut]
    oldest_seconds: float
    done: bool
    url: str

    @classmethod
    def of(cls, said: JobStatus) -> JobOut:
        """From a report."""
        job = said.job
        return cls(
            id=job.id,
            collection=label_of(job.collection),
            created_at=job.created_at,
            finished_at=job.finished_at,
            error=job.error,
            lines=job.lines,
            counts=dict(said.counts),
            refused=said.refused,
            refusals=[RefusedOut(name=r.name, kind=r.kind, message=r.message, line=r.line) for r in said.refusals],
            oldest_seconds=said.oldest.total_seconds(),
            done=said.done,
            url=f"/v1/jobs/{job.id}",
        )


class Accepted(BaseModel):
    """What was taken in: assets, with those that were refused; or a bulk job."""

    assets: list[AddedOut] = []
    refused: list[RefusedOut] = []
    job: JobOut | None = None


class RemovedOut(BaseModel):
    """What a removal did."""

    removed: int
    unknown: list[str]


class CountOut(BaseModel):
    """How many."""

    count: int


class FindingOut(BaseModel):
    """An asset on which catalogue and index disagree."""

    asset: UUID
    external_id: str
    kinds: list[str]


class DriftOut(BaseModel):
    """What a reconciliation found."""

    points: int
    receipts: int
    counts: dict[str, int]
    findings: list[FindingOut]
    repaired: int

    @classmethod
    def of(cls, said: Drift) -> DriftOut:
        """From a report."""
        findings = [FindingOut(asset=f.asset, external_id=f.external_id, kinds=list(f.kinds)) for f in said.findings]
        return cls(
            points=said.points,
            receipts=said.receipts,
            counts={str(kind): count for kind, count in said.counts.items()},
            findings=findings,
            repaired=said.repaired,
        )


class KeyOut(BaseModel):
    """An API key, without its secret."""

    id: str
    tenant: str
    name: str
    roles: list[Role]
    queries_per_second: float | None
    assets_per_day: int | None
    bytes_per_day: int | None
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, said: ApiKey, **more: Any) -> KeyOut:
        """From a record."""
        return cls(
            id=said.id,
            tenant=said.tenant,
            name=said.name,
            roles=sorted(said.roles),
            queries_per_second=said.quota.queries_per_second,
            assets_per_day=said.quota.assets_per_day,
            bytes_per_day=said.quota.bytes_per_day,
            created_at=said.created_at,
            expires_at=said.expires_at,
            **more,
        )


class IssuedOut(KeyOut):
    """A new API key with its secret, which is shown this once."""

    secret: str
