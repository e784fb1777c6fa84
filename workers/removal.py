"""Assets out: marked in the catalogue, forgotten by every index, then purged with bytes that nobody else uses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from core.records import IndexState
from core.runtime.wiring import Parts
from core.types import Asset, AssetId, Tenant

BATCH = 500


def remove(parts: Parts, tenant: Tenant, collection: str, ids: Sequence[AssetId]) -> int:
    """Remove assets; how many were there. From the first statement on, no worker can bring them back."""
    removed = parts.catalogue.remove(tenant, collection, ids)
    clear(parts)
    return removed


def clear(parts: Parts) -> int:
    """Forget the points of every removed asset that no worker holds, then purge it; how many. Safe at any time."""
    cleared = 0
    while gone := parts.catalogue.removed(limit=BATCH):
        for collection, assets in groupby(sorted(gone, key=lambda a: a.collection), key=lambda a: a.collection):
            _forget(parts, collection, list(assets))
        for digest in parts.catalogue.purge(gone):
            # Somebody may be registering these very bytes: out of sight first, then look again.
            parts.blobs.discard(digest)
            if parts.catalogue.uses(digest):
                parts.blobs.restore(digest)
            else:
                parts.blobs.erase(digest)
        cleared += len(gone)
    return cleared


def _forget(parts: Parts, collection: str, assets: Sequence[Asset]) -> None:
    for index in parts.catalogue.indexes(collection):
        if index.state is not IndexState.RETIRED:
            parts.store.create(index)
            # Removing was a new generation: points of a later return are not touched.
            parts.store.forget(index, {asset.id: asset.generation for asset in assets})
            parts.store.flush(index)
