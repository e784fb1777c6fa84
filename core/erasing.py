"""Erasing: what is to go, and the chain of receipts of what went. Each receipt holds the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from core.records import Index
from core.types import AssetId, Digest, Tenant

GENESIS = "0" * 64  # the hash before the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An asset that is to go, in every generation below that number: what came in later is another's to keep."""

    asset: AssetId
    external_id: str  # empty: not known any more
    digest: Digest
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to go: these assets of a tenant's, and what else names them."""

    ids: Sequence[AssetId] = ()
    gone: Sequence[Target] = ()  # assets of which points or bytes may be there without a row: of a restored copy
    names: Sequence[str] = ()  # external ids: what has them now, removed or not, and what names them
    whole: bool = False  # all that is kept of the tenant in the collection
    asked: Mapping[str, Any]  # by whom, why and how: goes into the receipts as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """An erasure that has begun: whoever holds its token goes on with it, and it ends with a receipt."""

    id: UUID
    tenant: Tenant
    collection: str
    targets: tuple[Target, ...]
    names: tuple[str, ...]
    whole: bool
    asked: Mapping[str, Any]
    found: Mapping[str, Sequence[str]] | None  # ids of points by index, as they were before; None: not looked yet
    token: str
    worker: str
    expires_at: datetime
    begun_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What named the erased things beside assets and points, and was deleted."""

    refusals: int  # lines of bulk jobs
    queries: int  # that were recorded, with their verdicts
    verdicts: int
    replies: int  # kept for requests that come twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A receipt in its chain."""

    number: int  # from 1
    tenant: Tenant
    collection: str  # as its people call it; `workers.erase.key_of` says how the catalogue does
    receipt: Mapping[str, Any]  # JSON: no floats, which two databases may spell differently
    at: datetime
    previous: str
    hash: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON: what is printed, sent and kept beside the catalogue."""
        return {
            "number": self.number,
            "tenant": self.tenant,
            "collection": self.collection,
            "receipt": self.receipt,
            "at": self.at.astimezone(UTC).isoformat(),
            "previous": self.previous,
            "hash": self.hash,
        }

    def again(self) -> Order:
        """The order to erase the same once more, should a restored copy have brought it back."""
        gone = [
            Target(
                asset=AssetId(UUID(said["asset"])),
                external_id="",
                digest=Digest(said["digest"]),
                generation=said["generation"],
            )
            for said in self.receipt["assets"]
        ]
        asked = {"by": "replay", "reason": f"receipt {self.number}", "how": "replay", "order": self.receipt["order"]}
        return Order(gone=gone, asked=asked)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Erasure:
        """The inverse of `as_dict`. Raises KeyError, ValueError, TypeError for what is none."""
        return cls(
            number=int(said["number"]),
            tenant=Tenant(str(said["tenant"])),
            collection=str(said["collection"]),
            receipt=dict(said["receipt"]),
            at=datetime.fromisoformat(said["at"]),
            previous=str(said["previous"]),
            hash=str(said["hash"]),
        )


def sealed(last: Erasure | None, tenant: Tenant, collection: str, receipt: Mapping[str, Any], at: datetime) -> Erasure:
    """The next of the chain: its hash is the SHA-256 of all it says, the hash of the last included."""
    number, previous = (1, GENESIS) if last is None else (last.number + 1, last.hash)
    open_ = Erasure(
        number=number, tenant=tenant, collection=collection, receipt=receipt, at=at, previous=previous, hash=""
    )
    return Erasure(
        number=number,
        tenant=tenant,
        collection=collection,
        receipt=receipt,
        at=at,
        previous=previous,
        hash=hash_of(open_),
    )


def hash_of(erasure: Erasure) -> str:
    """SHA-256 over the canonical JSON (sorted names, no spaces, UTF-8) of all but the hash itself."""
    said = {name: value for name, value in erasure.as_dict().items() if name != "hash"}
    canonical = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def broken(chain: Iterable[Erasure], last: Erasure | None = None) -> str | None:
    """What is wrong first with receipts that follow each other after `last`; None when nothing is.

    That receipts are missing at the end no chain can tell: a receipt that somebody kept can.
    """
    for erasure in chain:
        number, previous = (1, GENESIS) if last is None else (last.number + 1, last.hash)
        if erasure.number != number:
            return f"receipt {number} is missing: {erasure.number} follows"
        if erasure.previous != previous:
            return f"receipt {number} does not follow the one before: that one, or this, was changed or exchanged"
        if hash_of(erasure) != erasure.hash:
            return f"receipt {number} was changed: its hash is another's"
        last = erasure
    return None


class Erasures(Protocol):
    """The catalogue's side of it. Each racing change is one conditional statement. Fault: CatalogueDown."""

    def every_index(self) -> list[Index]:
        """Every index there is a row of, whatever its state and collection."""
        ...

    def begin_erasing(
        self, tenant: Tenant, collection: str, order: Order, *, worker: str, lease: timedelta, most: int
    ) -> list[Erasing]:
        """Mark the assets removed, the next generation, and keep what is to be done, at most so many assets each, all
        in one transaction: from now on no worker brings them back, and whoever sweeps finishes what is begun."""
        ...

    def erasings(self) -> list[Erasing]:
        """Those that are not finished, oldest first."""
        ...

    def hold_erasing(self, erasing: Erasing, *, worker: str, lease: timedelta) -> Erasing | None:
        """Take it over, or go on holding it, if its token is still the one that was seen; None when it is not."""
        ...

    def note_erasing(self, erasing: Erasing, found: Mapping[str, Sequence[str]]) -> Erasing:
        """Keep which points there were, before they go; what was kept before stays."""
        ...

    def busy(self, ids: Sequence[AssetId]) -> list[AssetId]:
        """Those of these assets that a live lease holds, for whatever index."""
        ...

    def purge_erased(self, erasing: Erasing) -> list[Digest]:
        """Delete the rows of the targets that did not come back, with all that hangs on them; those of their digests
        that nothing uses now."""
        ...

    def strike_traces(self, erasing: Erasing) -> Traces:
        """Delete refusals, recorded queries, verdicts and kept replies that name a target or a name."""
        ...

    def end_job(self, job_id: UUID, *, error: str) -> tuple[Digest, bool]:
        """Forget a job's manifest: the digest it had, and whether the job had to be ended for it, with that error."""
        ...

    def end_erasing(self, erasing: Erasing, receipt: Mapping[str, Any], *, label: str) -> Erasure | None:
        """It is done: its receipt, in which the collection has that label, goes to the end of the chain, and it is
        forgotten itself, in one transaction. None, and nothing, when it is another's by now."""
        ...

    def erasures(self, tenant: Tenant | None, *, after: int = 0, limit: int = 1000) -> list[Erasure]:
        """A page of receipts by number: of a tenant, or of all."""
        ...

    def last_erasure(self) -> Erasure | None:
        """The end of the chain."""
        ...

    def rejoin_erasures(self, lost: Sequence[tuple[Erasure, str]]) -> None:
        """Put back receipts that follow the end of the chain, after an older copy of the catalogue was restored, and
        begin to erase the same again from the collections that are named with them, in one transaction. Raises Conflict
        when they do not follow it."""
        ...

    def superseded(self, *, limit: int) -> dict[Digest, datetime]:
        """Bytes that an asset had before it was replaced and that nothing uses now, with the moment of that."""
        ...

    def settle_superseded(self, gone: Mapping[Digest, datetime]) -> None:
        """They are erased: forget them, unless they were superseded again since."""
        ...
