"""Records: what the catalogue keeps and what is said of it, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.fields import Fields
from core.spaces import EmbeddingSpace
from core.types import Asset, AssetId, Digest, Metadata, Modality, Reading, Tenant


class IndexState(StrEnum):
    """Where an index is in its life."""

    BUILDING = "building"
    SERVING = "serving"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named set of assets: the fields that filters may name, and the profile that says which spaces."""

    name: str
    fields: Fields
    profile: str
    reads: frozenset[Reading] = frozenset()  # text in its things that they are found by too


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One physical index of a collection. `id` is its name in the store."""

    id: str
    collection: str
    state: IndexState
    spaces: tuple[EmbeddingSpace, ...]
    fields: Fields
    reads: frozenset[Reading] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An asset as it comes in, its bytes already in the blob store."""

    external_id: str
    modality: Modality
    media_type: str
    digest: Digest
    size: int  # bytes
    metadata: Metadata


class Outcome(StrEnum):
    """What registering a draft did."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """A lease on an asset: who holds the token may index it until the lease ends."""

    asset: Asset
    token: str
    attempt: int  # counted before work starts: 1 on the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the catalogue says of an asset and an index, for reconciling the two."""

    asset: Asset
    removed: bool
    leased: bool
    generation: int | None  # of the receipt; None: there is none
    points: int  # that the receipt speaks of


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an asset has no points: one row an asset, for its present generation."""

    asset_id: AssetId
    external_id: str
    collection: str
    tenant: Tenant
    kind: str  # the fault's class
    message: str
    attempts: int
    at: datetime
    retry_at: datetime | None  # None: never by itself


class State(StrEnum):
    """An asset's state, computed from receipts, leases and failures."""

    INDEXED = "indexed"
    PENDING = "pending"
    WORKING = "working"
    FAILED = "failed"
