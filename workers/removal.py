"""Assets out: marked in the catalogue, forgotten by every index, then purged with bytes that nobody else uses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from time import monotonic, sleep

from core.errors import NoSuchCollection, Unavailable
from core.records import IndexState
from core.runtime.wiring import Parts
from core.types import Asset, AssetId, Digest, Tenant
from workers.identity import bury

BATCH = 500
LOOK = 0.05  # seconds between looks at what a worker holds


def remove(
    parts: Parts, tenant: Tenant, collection: str, ids: Sequence[AssetId], *, patience: float | None = None
) -> int:
    """Remove assets; how many were there. From the first statement on, no worker can bring them back for good.

    A worker that is at one of them may still write it, and then takes its points back. With `patience`, waits at most
    so many seconds for that: on return they are found no more. Raises Unavailable when it takes longer.
    """
    removed = parts.catalogue.remove(tenant, collection, ids)
    held = _held(parts, tenant, collection, ids)
    if held:
        _forget(parts, collection, held)  # what is found of them now; the rest when their worker lets go
    clear(parts)
    if patience is not None and held:
        until = monotonic() + patience
        while held := _held(parts, tenant, collection, [asset.id for asset in held]):
            if monotonic() >= until:
                names = ", ".join(asset.external_id for asset in held[:3])
                raise Unavailable(
                    f"removed, but a worker is still at {len(held)} of them ({names}): they may be found until it ends"
                )
            sleep(LOOK)
            bury(parts)
        clear(parts)
    return removed


def _held(parts: Parts, tenant: Tenant, collection: str, ids: Sequence[AssetId]) -> list[Asset]:
    """Those of these assets that were removed while a worker holds them."""
    return [
        standing.asset
        for index in parts.catalogue.indexes(collection)[:1]  # what is removed or held is so for every index
        for standing in parts.catalogue.standings(index, ids)
        if standing.removed and standing.leased
        if (standing.asset.tenant, standing.asset.collection) == (tenant, collection)
    ]


def clear(parts: Parts) -> int:
    """Forget the points of every removed asset that no worker holds, then purge it; how many. Safe at any time."""
    cleared = 0
    while gone := parts.catalogue.removed(limit=BATCH):
        for collection, assets in groupby(sorted(gone, key=lambda a: a.collection), key=lambda a: a.collection):
            _forget(parts, collection, list(assets))
        erase_unused(parts, parts.catalogue.purge(gone))
        cleared += len(gone)
    return cleared


def erase_unused(parts: Parts, digests: Sequence[Digest]) -> int:
    """Erase bytes that nobody used a moment ago, unless somebody does by now; how many."""
    erased = 0
    for digest in digests:
        # Somebody may be registering these very bytes: out of sight first, then look again.
        parts.blobs.discard(digest)
        if parts.catalogue.uses(digest):
            parts.blobs.restore(digest)
        else:
            parts.blobs.erase(digest)
            erased += 1
    return erased


def _forget(parts: Parts, collection: str, assets: Sequence[Asset]) -> None:
    """From the index that serves last: what is not found there any more is nowhere, should another take its place."""
    indexes = parts.catalogue.indexes(collection)
    for index in sorted(indexes, key=lambda one: one.state is IndexState.SERVING):
        # Removing was a new generation: points of a later return are not touched.
        with suppress(NoSuchCollection):  # not made yet, or dropped meanwhile: it has nothing
            parts.store.forget(index, {asset.id: asset.generation for asset in assets})
            parts.store.flush(index)
