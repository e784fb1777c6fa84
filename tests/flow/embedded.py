"""Toy parts over the reference store, what tests give them, and what they then hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.fields import Fields
from core.points import Stored
from core.records import State
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId
from ingest.sources.manifest import Inline, Item
from ingest.sources.paths import items
from tests.doubles import toy_parts
from tests.flow.promises import ME
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import Intake, register
from workers.tally import Tally


def embedded(data: Path, **more: Any) -> Parts:
    """Toy parts over the reference store."""
    parts = toy_parts(data, **more)
    parts.__dict__["store"] = MemoryStore()
    return parts


def register_all(parts: Parts, given: Sequence[Item] | Path, *, fields: Fields | None = None) -> Intake:
    """Registered, handed on to nobody."""
    listed = items([given]) if isinstance(given, Path) else given
    return register(parts, ME, ensure(parts, "c", fields), listed, lambda _collection, _ids: None)


def pending(parts: Parts) -> list[AssetId]:
    return parts.catalogue.missing("c", limit=10_000)


def index_all(parts: Parts) -> Tally:
    return index_batch(parts, "c", pending(parts))


def ingest(parts: Parts, given: Sequence[Item] | Path, *, fields: Fields | None = None) -> Tally:
    register_all(parts, given, fields=fields)
    return index_all(parts)


def points(parts: Parts) -> list[Stored]:
    return parts.store.scroll(parts.catalogue.serving("c"), limit=10_000)


def states(parts: Parts) -> dict[str, State]:
    return {asset.external_id: state for asset, state in parts.catalogue.assets(ME, "c", limit=10_000)}


def found(parts: Parts) -> set[str]:
    return {str(point.payload["external_id"]) for point in points(parts)}


def blob_files(parts: Parts) -> list[Path]:
    return [path for path in (parts.settings.data / "blobs").rglob("*") if path.is_file()]


def texts(count: int, word: str = "red") -> list[Item]:
    return [Inline(f"t{i:03}", f"{word} number {i}") for i in range(count)]


def comparable(parts: Parts) -> dict[tuple[str, int], dict[str, Any]]:
    """Points by what a person calls them, without the ids that are drawn."""
    drawn = ("asset",)
    out: dict[tuple[str, int], dict[str, Any]] = {}
    for point in points(parts):
        key = (point.payload["external_id"], point.payload["ordinal"])
        assert key not in out, "a segment has two points"
        out[key] = {name: value for name, value in point.payload.items() if name not in drawn}
    return out
