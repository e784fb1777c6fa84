"""Erasing: what is gone is gone from every index, from the blobs and from whatever named it, and a receipt says so.

First a row that says what is to go, in one transaction with its removal; then the work, each step of which may be done
twice; then the receipt, in one transaction with the end of that row. Who dies in between is followed by a sweep.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from core.erasing import Erasing, Erasure, Order, Target
from core.errors import (
    BadQuery,
    CatalogueBroken,
    CatalogueDown,
    Conflict,
    Fault,
    NoSuchAsset,
    NoSuchCollection,
    Unavailable,
)
from core.filters import Filter, matches
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from workers.collections import label_of, mark
from workers.erasure_book import book_of
from workers.erasure_lease import LEASE, Lease, Lost
from workers.erasure_points import Held, examine, forget, indexes_of, taken_points
from workers.erasure_receipt import receipt_of
from workers.erasure_traces import Manifests, end_waiting, strike
from workers.identity import bury, is_dead, me
from workers.removal import erase_unused

log = logging.getLogger(__name__)
BATCH = 50  # assets of one receipt
LOOK = 0.05  # seconds between looks at what a worker holds
ROUNDS = 3  # of forgetting what a late worker wrote meanwhile
PATIENCE = 30.0  # seconds that a replay waits for a worker
LONGEST = 500  # characters of a reason

Tell = Callable[[int, int], None]  # assets erased, of how many


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who wants it gone, and why: kept in the receipts for good, so neither is to hold what is to be forgotten."""

    by: str
    reason: str = ""
    how: str = "asset"  # asset, external-id, where or tenant


def matching(parts: Parts, tenant: Tenant, collection: str, where: Filter | None) -> list[AssetId]:
    """The assets whose metadata satisfy the filter, as the catalogue has it; all of the tenant's without one."""
    out: list[AssetId] = []
    after: str | None = None
    while page := parts.catalogue.assets(tenant, collection, after=after, limit=1000):
        after = page[-1][0].external_id
        out += [asset.id for asset, _ in page if matches(where, asset.metadata)]
    return out


def erase(
    parts: Parts,
    tenant: Tenant,
    collection: str,
    *,
    ids: Sequence[AssetId] = (),
    names: Sequence[str] = (),
    whole: bool = False,
    asked: Asked,
    patience: float = 30.0,
    on_progress: Tell | None = None,
) -> list[Erasure]:
    """Erase assets of a tenant's and what names them; the receipts, at least one. `names` are external ids that may
    have left traces though no asset has them now; `whole`: all that is kept of the tenant in that collection, whatever
    names it.

    A worker that is at one of them is waited for at most `patience` seconds. Raises Unavailable when it takes longer,
    or when a part is down: what has begun is finished by the next sweep all the same. Raises BadQuery for a reason that
    cannot be kept.
    """
    return _carry_out(
        parts,
        tenant,
        collection,
        Order(ids=ids, names=names, whole=whole, asked=_asked(asked)),
        patience=patience,
        on_progress=on_progress,
    )


def _carry_out(
    parts: Parts, tenant: Tenant, collection: str, order: Order, *, patience: float, on_progress: Tell | None = None
) -> list[Erasure]:
    _catch_up_if_told_right(parts)
    begun = parts.catalogue.begin_erasing(tenant, collection, order, worker=me(), lease=LEASE, most=BATCH)
    total, done = sum(len(each.targets) for each in begun), 0
    receipts: list[Erasure] = []
    manifests: Manifests = {}
    until = monotonic() + patience
    for each in begun:
        ours = parts.catalogue.hold_erasing(each, worker=me(), lease=LEASE)
        made = _finish(parts, ours, manifests, until=until) if ours is not None else None
        receipts.append(made if made is not None else _others(parts, each))
        done += len(each.targets)
        if on_progress is not None:
            on_progress(done, total)
    return receipts


def _asked(asked: Asked) -> dict[str, Any]:
    for name, said in (("reason", asked.reason), ("by", asked.by)):
        if len(said) > LONGEST or "\0" in said or any("\ud800" <= c <= "\udfff" for c in said):
            raise BadQuery(f"{name}: at most {LONGEST} characters, none of them NUL or half of a surrogate pair")
    return {"by": asked.by, "reason": asked.reason, "how": asked.how, "order": str(uuid4())}


def _others(parts: Parts, each: Erasing) -> Erasure:
    """The receipt of an erasure that somebody else went on with, because we were silent too long."""
    until = monotonic() + LEASE.total_seconds()
    while monotonic() < until:
        for erasure in _from_end(parts, each):
            if erasure.receipt["erasure"] == str(each.id):
                return erasure
        sleep(LOOK)
    raise Unavailable("it has begun, and another worker is at it: `quiver erasures list` shows its receipt in a while")


def _from_end(parts: Parts, each: Erasing) -> list[Erasure]:
    newest = parts.catalogue.last_erasure()
    return parts.catalogue.erasures(each.tenant, after=max(0, newest.number - 1000)) if newest is not None else []


def resume(parts: Parts) -> int:
    """Finish what somebody began and left, and bring back what a restored catalogue has forgotten; how many receipts.

    Those that somebody is at, or that wait for a worker, are left alone. Raises Unavailable when a part is down.
    """
    _catch_up_if_told_right(parts)
    done = 0
    for each in parts.catalogue.erasings():
        if each.expires_at > datetime.now(UTC) and not is_dead(each.worker):
            continue
        ours = parts.catalogue.hold_erasing(each, worker=me(), lease=LEASE)
        if ours is None:
            continue
        try:
            done += _finish(parts, ours, {}, until=None) is not None
        except _Busy:
            continue
        except Unavailable:
            raise
        except Fault as fault:  # one that cannot be finished does not keep the others
            log.exception("an erasure of %s in %r is not finished: %s", each.tenant, each.collection, fault.kind)
    return done


class _Busy(Unavailable):
    """A worker is at it."""


def _finish(parts: Parts, erasing: Erasing, manifests: Manifests, *, until: float | None) -> Erasure | None:
    """Do all of it; None when another has it by now. Each step may be done again by who comes after us."""
    lease = Lease(parts, erasing)
    try:
        taken = taken_points(parts, erasing, lease.renew)
        lease.note({held.index.id: [str(point) for point in held.points] for held in taken if held.points})
        forget(parts, erasing)  # what is found of them now; the rest when their worker lets go
        _wait(parts, erasing, until, lease)
        forget(parts, erasing)
        swept = strike(parts, erasing, manifests, lease.renew)
        _let_go_of_bytes(parts, erasing)
        _examine(parts, erasing, taken, lease)
        receipt = receipt_of(parts, erasing, taken, swept, resumed=erasing.found is not None)
        made = parts.catalogue.end_erasing(lease.now, receipt, label=label_of(erasing.collection))
    except Lost:
        return None
    except BaseException:
        lease.let_go()
        raise
    if made is not None:
        _keep(parts)
    return made


def _let_go_of_bytes(parts: Parts, erasing: Erasing) -> None:
    """Delete the rows, and erase the bytes that nobody uses then; those of earlier generations, too."""
    erase_unused(parts, parts.catalogue.purge_erased(erasing))
    clear_superseded(parts)


def _wait(parts: Parts, erasing: Erasing, until: float | None, lease: Lease) -> None:
    """Until no worker is at any of them. Raises Unavailable when that takes too long; at once with no time to wait."""
    ids = [target.asset for target in erasing.targets]
    while parts.catalogue.busy(ids):
        bury(parts)
        if not (busy := parts.catalogue.busy(ids)):
            return
        if until is None or monotonic() >= until:
            raise _Busy(
                f"the erasure has begun, but a worker is still at {len(busy)} of its assets: they are found no more "
                "when it ends, and the next sweep writes the receipt (`quiver erasures list`)"
            )
        lease.renew()
        sleep(LOOK)


def _examine(parts: Parts, erasing: Erasing, taken: Sequence[Held], lease: Lease) -> None:
    """Look for what is still found; again after forgetting what a worker wrote that had slept through its lease."""
    for _ in range(ROUNDS):
        for held in taken:
            examine(parts, erasing, held, lease.renew)
        if not any(held.still for held in taken):
            return
        forget(parts, erasing)
        _let_go_of_bytes(parts, erasing)
    raise _Busy("the erasure has begun, but points of it are written again and again: the next sweep goes on with it")


def clear_superseded(parts: Parts, *, limit: int = 1000) -> int:
    """Erase bytes that assets had before they were replaced, and that nothing uses now; how many."""
    cleared = 0
    while gone := parts.catalogue.superseded(limit=limit):
        cleared += erase_unused(parts, list(gone))
        parts.catalogue.settle_superseded(gone)
    return cleared


# Receipts beside the catalogue, and an older copy of it


def catch_up(parts: Parts) -> int:
    """Put receipts back that the book beside the catalogue has and the catalogue, restored from an older copy, has not,
    and begin to erase the same again; how many. Raises Conflict when the two tell different stories."""
    lost = book_of(parts).ahead_of(parts.catalogue)
    if lost:
        log.warning("%d receipts of erasures are put back: the catalogue is an older copy", len(lost))
        _rejoin(parts, lost)
    return len(lost)


def _rejoin(parts: Parts, lost: Sequence[Erasure]) -> None:
    """What waits in the copy first: with its receipts the catalogue would no longer count as one."""
    for each in lost:
        end_waiting(parts, each.tenant, key_of(each), each.at)
    parts.catalogue.rejoin_erasures([(each, key_of(each)) for each in lost])


def key_of(erasure: Erasure) -> str:
    """What the catalogue calls the collection of a receipt: `workers.collections` says why that is another name."""
    return erasure.collection + (mark(erasure.tenant) if erasure.receipt["own"] else "")


def _catch_up_if_told_right(parts: Parts) -> None:
    try:
        catch_up(parts)
    except (Conflict, CatalogueBroken) as fault:
        book_of(parts).complain(fault)


def _keep(parts: Parts) -> None:
    """The receipt is in the catalogue; whether the book can take it is another matter, and the next one tries again."""
    book = book_of(parts)
    try:
        book.keep(parts.catalogue)
    except (Conflict, CatalogueBroken, CatalogueDown) as fault:
        book.complain(fault)


def replay(parts: Parts, kept: Sequence[Erasure] = ()) -> list[Erasure]:
    """Erase again whatever was ever erased and is there now, after an older copy of the catalogue, of the index or of
    the blobs was restored; the receipts of that. `kept` are receipts from elsewhere. What came in after an erasure is
    of a later generation, or another asset, and stays. Safe at any time, and twice.

    Raises Conflict when the receipts do not belong to this chain.
    """
    catch_up(parts)
    newest = parts.catalogue.last_erasure()
    fresh = [each for each in kept if newest is None or each.number > newest.number]
    _rejoin(parts, sorted(fresh, key=lambda each: each.number))
    newest = parts.catalogue.last_erasure()
    until = newest.number if newest is not None else 0
    resume(parts)
    after = 0
    while page := [each for each in parts.catalogue.erasures(None, after=after) if each.number <= until]:
        after = page[-1].number
        for erasure in page:
            again = erasure.again()
            gone = [target for target in again.gone if _is_back(parts, erasure, target)]
            if gone:
                order = dataclasses.replace(again, gone=gone)
                _carry_out(parts, erasure.tenant, key_of(erasure), order, patience=PATIENCE)
    book_of(parts).keep(parts.catalogue)
    return _all_after(parts, until)


def _all_after(parts: Parts, number: int) -> list[Erasure]:
    out: list[Erasure] = []
    while page := parts.catalogue.erasures(None, after=out[-1].number if out else number):
        out += page
    return out


def _is_back(parts: Parts, erasure: Erasure, target: Target) -> bool:
    """Whether there is anything of it: a row of an earlier generation, points, or bytes that nothing uses."""
    try:
        if parts.catalogue.asset(erasure.tenant, key_of(erasure), target.asset).generation < target.generation:
            return True
    except NoSuchAsset:
        pass  # then its points or bytes may be there all the same
    if parts.blobs.has(target.digest) and not parts.catalogue.uses(target.digest):
        return True
    for index, _ in indexes_of(parts, key_of(erasure)):
        try:
            points = parts.store.of_assets(index, [target.asset])
        except NoSuchCollection:  # it was dropped meanwhile
            continue
        if any(point.payload["generation"] < target.generation for point in points):
            return True
    return False
