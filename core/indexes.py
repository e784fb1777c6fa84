"""Indexes as the catalogue knows them: their states, how they are tended, and how one takes the place of another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from core.records import Index, IndexState
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

    def revise(self, index_id: str, changes: Mapping[str, Any]) -> Tended:
        """Change keys of its plan. Raises NoSuchCollection."""
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
