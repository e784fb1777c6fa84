"""What the door tells of its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.fields import FieldType
from core.records import Failure, State
from core.types import Asset
from workers.intake import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an ingest stands."""

    total: int
    registered: int
    to_index: int  # new or changed so far
    indexed: int
    failed: int


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
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds of all lanes together

    @property
    def ok(self) -> bool:
        """Nothing was refused and nothing failed."""
        return not self.refused and not self.failures


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionStatus:
    """A collection: what was declared, which models judge it, how many assets are in each state."""

    name: str
    profile: str
    fields: Mapping[str, FieldType]
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
class Removed:
    """What a removal did; ids that are not there are named, not hidden."""

    removed: int
    unknown: tuple[str, ...]
