"""What must hold after upkeep, whatever happened before: found if and only if indexed, in the newest generation."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from core.points import Scope
from core.records import State
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from workers.indexing import index_batch
from workers.upkeep import sweep

ME = Tenant("default")


def upkeep(parts: Parts) -> None:
    """Sweep, after every lease ran out, until there is nothing to do."""

    def here(collection: str, ids: Sequence[AssetId]) -> None:
        index_batch(parts, collection, ids)

    for worker in parts.catalogue.holders():
        parts.catalogue.expire(worker)
    for _ in range(20):
        if not sweep(parts, here):
            return
    raise AssertionError("the sweep never ends")


def check(parts: Parts, collection: str = "c") -> None:
    """Raises AssertionError where catalogue and store disagree."""
    known = parts.catalogue.assets(ME, collection, limit=10_000)
    indexed = {asset.id: asset.generation for asset, state in known if state is State.INDEXED}
    assert all(state in (State.INDEXED, State.FAILED) for _, state in known), known
    index = parts.catalogue.serving(collection)
    points = parts.store.scroll(index, limit=10_000)
    held: dict[UUID, set[int]] = {}
    for point in points:
        held.setdefault(UUID(point.payload["asset"]), set()).add(point.payload["generation"])
    assert held == {asset_id: {generation} for asset_id, generation in indexed.items()}
    assert parts.store.count(index, Scope(tenant=ME)) == len(points)
    for asset, _ in known:
        assert parts.blobs.has(asset.digest), f"the bytes of {asset.external_id} are gone"
