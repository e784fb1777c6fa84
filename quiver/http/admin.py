"""What an administrator of a tenant does: failures, reconciling, sweeping, keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from quiver.http.access import Admin
from quiver.http.schemas import Label, NewKey, Page, Reconciling, Rotation, Selection
from quiver.http.views import CountOut, DriftOut, FailureOut, IssuedOut, KeyOut, StatsOut
from workers import keys

router = APIRouter(prefix="/v1/admin", tags=["admin"])
Age = Annotated[float | None, Query(ge=0, le=10**9, description="Only those last tried so long ago")]


def _age(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


@router.get("/failures")
def failures(
    collection: Label,
    caller: Admin,
    kind: Annotated[str | None, Query(max_length=63, description="Only of this class")] = None,
    older_than_seconds: Age = None,
    limit: Annotated[Page, Query()] = 100,
) -> list[FailureOut]:
    """What could not be indexed, and why, newest first."""
    found = caller.quiver.failures(collection, kind=kind, older_than=_age(older_than_seconds), limit=limit)
    return [FailureOut.of(one) for one in found]


@router.post("/failures/retry")
def retry(chosen: Selection, caller: Admin) -> CountOut:
    """Try again: the assets named, or all of a class and age."""
    age = _age(chosen.older_than_seconds)
    return CountOut(count=caller.quiver.retry(chosen.collection, *chosen.assets, kind=chosen.kind, older_than=age))


@router.post("/failures/discard")
def discard(chosen: Selection, caller: Admin) -> CountOut:
    """Give up: remove the failed assets named, or all of a class and age."""
    age = _age(chosen.older_than_seconds)
    return CountOut(count=caller.quiver.discard(chosen.collection, *chosen.assets, kind=chosen.kind, older_than=age))


@router.get("/stats")
def stats(collection: Label, caller: Admin) -> StatsOut:
    """Seconds an asset takes in each stage of indexing, on average."""
    return StatsOut(stages=caller.quiver.stats(collection))


@router.post("/reconcile")
def reconcile(what: Reconciling, caller: Admin) -> DriftOut:
    """Compare the catalogue with the index, both ways; without `repair` nothing changes."""
    return DriftOut.of(caller.quiver.reconcile(what.collection, repair=what.repair))


@router.post("/sweep", status_code=202)
def sweep(caller: Admin) -> None:
    """Have workers look soon for what a crash or a lost message left behind."""
    caller.quiver.attend()


@router.get("/keys")
def listing(caller: Admin) -> list[KeyOut]:
    """The tenant's API keys, without their secrets."""
    return [KeyOut.of(each) for each in keys.listing(caller.parts, caller.tenant)]


@router.post("/keys", status_code=201)
def issue(new: NewKey, caller: Admin) -> IssuedOut:
    """Make a key of this tenant. Its secret is in this answer and nowhere else."""
    made = keys.issue(
        caller.parts,
        caller.tenant,
        new.name,
        new.roles,
        quota=new.quota(),
        lifetime=_age(new.expires_in_seconds),
        by=caller.key,
    )
    return IssuedOut.model_validate(KeyOut.of(made.key).model_dump() | {"secret": made.secret})


@router.post("/keys/{key}/rotate", status_code=201)
def rotate(key: str, how: Rotation, caller: Admin) -> IssuedOut:
    """A new secret for the same rights; the old one goes on for a while."""
    made = keys.rotate(caller.parts, key, caller.tenant, grace=timedelta(seconds=how.grace_seconds))
    return IssuedOut.model_validate(KeyOut.of(made.key).model_dump() | {"secret": made.secret})


@router.delete("/keys/{key}", status_code=204)
def revoke(key: str, caller: Admin) -> None:
    """Refuse a key from now on."""
    keys.revoke(caller.parts, key, caller.tenant)
