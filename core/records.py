"""Records: what the catalogue keeps and what is said of it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.errors import BadQuery
from core.fields import Fields
from core.spaces import EmbeddingSpace
from core.types import Asset, AssetId, Digest, Metadata, Modality, Reading, Tenant


class IndexState(StrEnum):
    """Where an index is in its life. What changes is written to it from `building` to `soaking`."""

    PLANNED = "planned"  # it is not written to yet
    BUILDING = "building"  # filled with what was there before, while live writes go to it too
    VERIFYING = "verifying"  # it holds all; compared before it may serve
    SERVING = "serving"  # searches are answered from it
    SOAKING = "soaking"  # served before, and kept as it should be, so that one can go back to it
    RETIRED = "retired"  # gone
    ROLLED_BACK = "rolled_back"  # served, and was found wanting
    FAILED = "failed"  # given up before it served


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named set of assets: the fields that filters may name, and the profile that says which spaces."""

    name: str
    fields: Fields
    profile: str
    reads: frozenset[Reading] = frozenset()  # text in its things that they are found by too


class Quantization(StrEnum):
    """How vectors are shortened for the first look; the nearest of them are then compared in full."""

    NONE = "none"
    SCALAR = "scalar"  # 8 bits a number: a quarter
    TURBO = "turbo"  # 4 bits a number, rotated before (TurboQuant, arXiv 2504.19874): an eighth
    BINARY = "binary"  # 1 bit a number, and as it costs recall under filters, for large dimensions alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How an index keeps its dense vectors; sparse ones are kept as they are. Raises BadQuery for what makes no index.

    `m`: neighbours of a point in the graph; `ef_construct`: candidates looked at for them (Malkov and Yashunin 2018).
    `on_disk`: full vectors are read from the disk when they are asked for, and only codes and graph kept in memory.
    """

    quantization: Quantization = Quantization.NONE
    m: int = 16
    ef_construct: int = 100
    on_disk: bool = False

    def __post_init__(self) -> None:
        if type(self.m) is not int or not 4 <= self.m <= 128:
            raise BadQuery(f"m is {self.m}: give 4 to 128 neighbours, 16 is usual")
        if type(self.ef_construct) is not int or not self.m <= self.ef_construct <= 4096:
            raise BadQuery(f"ef_construct is {self.ef_construct}: give {self.m} (m) to 4096 candidates, 100 is usual")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in _PARTS} | {"quantization": str(self.quantization)}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Storage:
        """The inverse of `as_dict`; what is not said is as usual. Raises BadQuery."""
        if unknown := sorted(said.keys() - _PARTS):
            raise BadQuery(f"{', '.join(unknown)}: a storage has {', '.join(_PARTS)}")
        kind = said.get("quantization", Quantization.NONE)
        if kind not in Quantization.__members__.values():
            raise BadQuery(f"quantization {kind!r}: it is one of {', '.join(Quantization)}")
        if not isinstance(said.get("on_disk", False), bool):
            raise BadQuery(f"on_disk is {said['on_disk']!r}: say true or false")
        return cls(**{**said, "quantization": Quantization(kind)})


_PARTS = ("quantization", "m", "ef_construct", "on_disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One physical index of a collection. `id` is its name in the store; `profile` says whose encoders fill it."""

    id: str
    collection: str
    state: IndexState
    spaces: tuple[EmbeddingSpace, ...]
    fields: Fields
    reads: frozenset[Reading] = frozenset()
    profile: str = ""
    storage: Storage = Storage()


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
    index: str | None = None  # to be written to that index alone; None: wherever it lacks


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
    """Why an asset has no points in an index: one row for both, for its present generation."""

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
