"""What the door tells of its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.desk import Job, Refusal
from core.fields import FieldType
from core.records import Failure, Outcome, State
from core.types import Asset, AssetId, Modality, Reading
from workers.intake import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an ingest stands."""

    total: int | None  # items there are; None: not counted yet, or not known before the end
    registered: int
    to_index: int  # new or changed so far
    indexed: int
    failed: int  # refused ones included
    done: int  # items nothing is left to be done for here
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds so far, by stage, of all lanes and who fetches


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingest did. `failures` are of what was named: an unchanged bad file is reported again."""

    added: int
    changed: int
    unchanged: int
    indexed: int
    enqueued: bool  # workers do the rest
    refused: tuple[Problem, ...]
    failures: tuple[Failure, ...]
    pruned: tuple[str, ...] = ()  # external ids of what vanished from its source and was removed
    dry_run: bool = False  # nothing was done: `pruned` would be
    unsettled: int = 0  # files left out, for they may still be being written
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds, of all lanes and who fetches

    @property
    def ok(self) -> bool:
        """Nothing was refused and nothing failed."""
        return not self.refused and not self.failures

    @property
    def failed(self) -> Mapping[str, int]:
        """How many were refused or failed, by the class of the fault."""
        return Counter([*(one.kind for one in self.refused), *(one.kind for one in self.failures)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A profile that has a name. `model` is its id on the hub; empty: its weights are in an installed package."""

    name: str
    model: str
    embeds: frozenset[Modality]  # empty: known once it is made
    about: str
    here: bool  # nothing has to be downloaded
    megabytes: int  # to download, about


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionStatus:
    """A collection: what was declared, which models judge it, how many assets are in each state."""

    name: str
    profile: str
    fields: Mapping[str, FieldType]
    reads: frozenset[Reading]
    encoders: Mapping[str, str]  # space to model
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetView:
    """An asset, its state, why it failed if it did, and where its bytes lie."""

    asset: Asset
    state: State
    failure: Failure | None
    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetState:
    """An asset and its state."""

    asset: Asset
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal did; ids that are not there are named, not hidden."""

    removed: int
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """An asset that was registered, and what that did."""

    id: AssetId
    external_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A bulk job: how far it is read, how its assets stand, which lines were refused (the first of them)."""

    job: Job
    counts: Mapping[State, int]
    refused: int
    refusals: tuple[Refusal, ...]
    oldest: timedelta  # how long the oldest asset that is neither indexed nor failed has waited

    @property
    def done(self) -> bool:
        """All lines were read, and no asset waits."""
        return self.job.finished_at is not None and not self.counts[State.PENDING] + self.counts[State.WORKING]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """Vectors of one space: f32 (n, dim), row i of input i. `model` names the space as it is asked for."""

    model: str
    encoder: str  # whose judgement it is
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Documents by likeness to a query: index and cosine, best first."""

    model: str
    encoder: str
    order: tuple[tuple[int, float], ...]
