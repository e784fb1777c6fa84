"""Collections to be exported, places to import them into, and all that is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.points import Stored
from core.spaces import Sparse
from core.stores.memory import MemoryStore
from core.types import Tenant
from quiver import Quiver
from tests.doubles import toy_parts
from tests.worlds import ME, RED, World


def filled(folder: Path) -> World:
    made = World(folder)
    made.add({"cat": "a red cat", "long": "green dog. " * 900, "none": "nothing"}, metadata={"kind": "a", "price": 2.5})
    made.add({"red.png": RED})
    return made


def empty(folder: Path) -> Quiver:
    parts = toy_parts(folder, max_metadata_bytes=1 << 20)
    parts.__dict__["store"] = MemoryStore()
    return Quiver(parts)


def held(quiver: Quiver, collection: str = "c", tenant: Tenant = ME) -> dict[tuple[str, str, int], Any]:
    """Every point by what a person calls it, with its vectors, without the ids that are drawn."""
    parts = quiver._parts
    index = parts.catalogue.serving(collection)
    points: list[Stored] = []
    for asset, _ in parts.catalogue.assets(tenant, collection, limit=10_000):
        points += parts.store.of_assets(index, [asset.id])
    out = {}
    for point in points:
        said = {name: value for name, value in point.payload.items() if name not in ("asset", "generation")}
        vectors = {
            name: (v.indices.tolist(), v.values.tolist()) if isinstance(v, Sparse) else v.tolist()
            for name, v in point.vectors.items()
        }
        out[point.payload["external_id"], point.payload.get("source", ""), point.payload["ordinal"]] = said, vectors
    return out
