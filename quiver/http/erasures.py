"""Erasing for good, for administrators of a tenant: what is the tenant's, and the receipts of that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from core.erasing import Erasure
from core.errors import BadQuery
from quiver.erasing import ChainReport, Erased
from quiver.http.access import Admin
from quiver.http.schemas import In, Label, Page

router = APIRouter(prefix="/v1/admin", tags=["admin"])
MOST = 2**31 - 1  # of a number


class Erasing(In):
    """What to erase: assets, or all that a filter matches, or everything of the tenant."""

    collection: Label | None = Field(default=None, description="With `everything` it may be left out: all collections")
    assets: list[Annotated[str, Field(max_length=1023)]] = Field(
        default=[], max_length=10_000, description="Ids or external ids"
    )
    where: str | None = Field(default=None, max_length=100_000, description="For example: kind = photo and price < 20")
    everything: bool = False
    reason: str = Field(default="", max_length=500, description="Kept in the receipt for good")
    dry_run: bool = Field(default=False, description="Only say how much it would be")


class ErasureOut(BaseModel):
    """A receipt in its chain. `hash` is the SHA-256 of the canonical JSON of all the rest."""

    number: int
    tenant: str
    collection: str
    receipt: dict[str, Any]
    at: str
    previous: str
    hash: str

    @classmethod
    def of(cls, said: Erasure) -> ErasureOut:
        """From a receipt."""
        return cls(**said.as_dict())


class ErasedOut(BaseModel):
    """What was erased, and the proof."""

    assets: int
    unknown: list[str]
    dry_run: bool
    points: int
    nothing: bool
    verified: bool
    receipts: list[ErasureOut]

    @classmethod
    def of(cls, said: Erased) -> ErasedOut:
        """From a report."""
        return cls(
            assets=said.assets,
            unknown=list(said.unknown),
            dry_run=said.dry_run,
            points=said.points,
            nothing=said.nothing,
            verified=said.verified,
            receipts=[ErasureOut.of(each) for each in said.receipts],
        )


class KeptReceipt(In):
    """A receipt as it was given."""

    number: int = Field(ge=1, le=MOST)
    tenant: str = Field(max_length=127)
    collection: str = Field(max_length=127)
    receipt: dict[str, Any]
    at: datetime
    previous: str = Field(max_length=64)
    hash: str = Field(max_length=64)


class Verifying(In):
    """Receipts that were kept, to be compared with the chain."""

    receipts: list[KeptReceipt] = Field(default=[], max_length=1000)


class ChainOut(BaseModel):
    """Whether the chain of receipts holds."""

    ok: bool
    receipts: int
    hash: str
    wrong: str | None
    open: int

    @classmethod
    def of(cls, said: ChainReport) -> ChainOut:
        """From a report."""
        return cls(ok=said.ok, receipts=said.receipts, hash=said.hash, wrong=said.wrong, open=said.open)


@router.post("/erase")
def erase(what: Erasing, caller: Admin) -> ErasedOut:
    """Erase for good: points of every index, bytes that nobody else has, and what names them; verified, with a receipt.
    What has begun when this fails is finished by itself: `erasures` has its receipt then."""
    by = f"key {caller.key.id}" if caller.key is not None else "operator"
    done = caller.quiver.erase(
        what.collection,
        *what.assets,
        where=what.where,
        everything=what.everything,
        reason=what.reason,
        by=by,
        dry_run=what.dry_run,
    )
    return ErasedOut.of(done)


@router.get("/erasures")
def listing(
    caller: Admin,
    after: Annotated[int, Query(ge=0, le=MOST, description="The number of the last one seen")] = 0,
    limit: Annotated[Page, Query()] = 100,
) -> list[ErasureOut]:
    """The tenant's receipts, by number."""
    return [ErasureOut.of(each) for each in caller.quiver.erasures(after=after, limit=limit)]


@router.post("/erasures/verify")
def verify(what: Verifying, caller: Admin) -> ChainOut:
    """Whether the chain of receipts is as it was written, and holds those that were kept."""
    try:
        kept = [Erasure.from_dict(each.model_dump(mode="json")) for each in what.receipts]
        return ChainOut.of(caller.quiver.verify_erasures(kept))
    except (ValueError, TypeError, RecursionError, OverflowError) as exc:
        raise BadQuery(f"a receipt is to be sent as it was given: {exc}") from exc


@router.get("/erasures/{number}")
def show(number: Annotated[int, Path(ge=1, le=MOST)], caller: Admin) -> ErasureOut:
    """One receipt."""
    return ErasureOut.of(caller.quiver.erasure(number))
