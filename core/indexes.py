"""Indexes as the catalogue knows them: their states, how one takes the place of another, and who works on what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from core.records import Claim, Failure, Index, IndexState
from core.types import AssetId, Modality, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tended:
    """An index and how it is tended: what an operator asked for, why it is in its state and since when."""

    index: Index
    plan: Mapping[str, Any]
    note: str
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How far an index has come, in assets: present, held, failed to be taken, being written for it alone."""

    present: int
    held: int
    failed: int
    in_hand: int
    lately: int  # receipts of the last minute
    retrying: int = 0  # of those that failed: tried again by themselves
    failures: Mapping[str, int] = field(default_factory=dict)  # by class


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an index has of one tenant and modality."""

    tenant: Tenant
    modality: Modality
    assets: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How scores of a space are read, for queries and segments of these modalities: `retrieval.calibration`."""

    fingerprint: str  # of the space
    asked: Modality
    content: Modality
    curve: Mapping[str, Any]
    fitted_at: datetime


class Indexes(Protocol):
    """The catalogue's side of it. Each change of state is one conditional statement. Fault: CatalogueDown."""

    def create_index(self, index: Index, plan: Mapping[str, Any] | None = None) -> Index:
        """Make its row, or return the one there is. A collection has one serving index at most, and one that is
        planned, building or verifying: Conflict otherwise."""
        ...

    def indexes(self, collection: str) -> list[Index]:
        """Those that are written to: building, verifying, serving, soaking; by age."""
        ...

    def serving(self, collection: str) -> Index:
        """Raises NoSuchCollection when there is none."""
        ...

    def tended(self, collection: str, states: Collection[IndexState] = tuple(IndexState)) -> list[Tended]:
        """Indexes of these states, by age."""
        ...

    def advance(self, index_id: str, *, of: Collection[IndexState], to: IndexState, note: str | None = None) -> Tended:
        """Change the state, if it is one of these. Raises Conflict, NoSuchCollection."""
        ...

    def exchange(
        self,
        coming: str,
        *,
        of: Collection[IndexState],
        leaving: IndexState,
        note: str | None = None,
        forced: bool = False,
    ) -> tuple[Tended, Tended]:
        """In one transaction: the coming index, of one of these states, serves; the one that did goes on as `leaving`;
        the collection has the profile and the fields of the one that serves. Raises Conflict when it lacks an asset
        that the other has, unless forced."""
        ...

    def revise(self, index_id: str, changes: Mapping[str, Any], *, given: Mapping[str, Any] | None = None) -> Tended:
        """Change keys of its plan, if these still have these values (None: not there). Raises Conflict,
        NoSuchCollection."""
        ...

    def uncovered(self, of: str, to: str, *, limit: int) -> tuple[int, list[tuple[str, str]]]:
        """How many assets one index has and the other lacks; external ids of some, and why."""
        ...

    def having(self, index_id: str, ids: Sequence[AssetId]) -> set[AssetId]:
        """Those of these assets whose present generation the index has."""
        ...

    def coverage(self, index: Index) -> Coverage:
        """How far it has come. Counts rows: seconds at a million assets."""
        ...

    def census(self, index_id: str) -> list[Share]:
        """What it has, by tenant and modality."""
        ...

    def pardon(self, index_id: str) -> int:
        """Strike out its failures, so that it is offered those assets again; how many."""
        ...

    def clear_index(self, index_id: str) -> int:
        """Strike its receipts, failures, leases and calibrations: it is gone; how many receipts."""
        ...

    def calibrate(self, index_id: str, fitted: Sequence[Calibration]) -> None:
        """Keep these, each in the place of the one of the same space and modalities; in one transaction."""
        ...

    def calibrations(self, index_id: str) -> list[Calibration]:
        """What is kept; none of an index that nobody calibrated."""
        ...


class Leases(Protocol):
    """The catalogue's side of it. Fault: CatalogueDown; each racing change is one conditional statement."""

    def claim(
        self,
        collection: str,
        *,
        worker: str,
        lease: timedelta,
        limit: int,
        ids: Sequence[AssetId] | None = None,
        index: str | None = None,
    ) -> list[Claim]:
        """Lease assets that the serving index lacks, or one that soaks, and that are not leased, failed for good or
        waiting to be retried; oldest first. Counts the attempt. Two workers never hold the same asset.

        With `index`, one that is building or verifying: what it lacks and the serving one does not wait for. Such a
        lease keeps nobody from writing the asset to where it is to be found now."""
        ...

    def sign(self, index: Index, written: Mapping[Claim, int]) -> dict[AssetId, int | None]:
        """Write receipts for claims whose lease and generation still hold, with how many points each has. Of the
        others: what `VectorStore.forget` is to be told (None: all, the asset is gone)."""
        ...

    def sign_all(self, written: Sequence[tuple[Index, Mapping[Claim, int]]]) -> list[dict[AssetId, int | None]]:
        """`sign` for several indexes in one transaction: at no moment has one of them what another lacks."""
        ...

    def finish(self, claims: Sequence[Claim]) -> None:
        """The work is done: end the leases. A lease that is another's by now is left alone."""
        ...

    def renew(self, claims: Sequence[Claim], lease: timedelta) -> int:
        """The work goes on: the leases run anew from now; of how many. One that is another's by now, or of a generation
        that is no more, is left alone."""
        ...

    def release(self, claims: Sequence[Claim]) -> None:
        """Hand work back undone: end the leases and take back the attempts that were counted."""
        ...

    def holders(self) -> list[str]:
        """The workers that hold leases."""
        ...

    def expire(self, worker: str) -> int:
        """End the leases of a worker that is known to be dead: their attempts stay counted; how many."""
        ...

    def fail(
        self, claim: Claim, *, kind: str, message: str, retry_in: timedelta | None, index: Index | None = None
    ) -> None:
        """Record the failure, if the lease and generation still hold, and release: of the index that it was claimed
        for, or of all that lack it. Of one `index` alone: then the lease goes on."""
        ...

    def failures(
        self,
        tenant: Tenant,
        collection: str,
        *,
        kind: str | None = None,
        before: datetime | None = None,
        limit: int = 100,
        asset: AssetId | None = None,
        index: str | None = None,
    ) -> list[Failure]:
        """Those of present generations, newest first; of one kind, of one asset, or last tried before a moment. Of the
        serving index unless another is named."""
        ...

    def forgive(self, tenant: Tenant, collection: str, ids: Sequence[AssetId] | None = None) -> int:
        """Strike out failures, so that the assets are claimed again; how many."""
        ...

    def quarantine(self) -> list[AssetId]:
        """Record as failed every asset whose workers fell silent as many times as attempts are allowed."""
        ...

    def missing(
        self,
        collection: str,
        *,
        limit: int,
        quiet: timedelta = timedelta(0),
        within: timedelta | None = None,
        index: str | None = None,
    ) -> list[AssetId]:
        """What could be claimed now, for that index or for those that serve or soak, oldest first: unchanged for at
        least `quiet`, or held before by somebody who fell silent or handed it back; changed `within` so long ago."""
        ...

    def oldest_waiting(self, collection: str) -> timedelta:
        """How long the oldest asset has waited to be indexed; zero when none waits."""
        ...
