"""The calls that the store process answers: read whole before any of it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.records import Index
from core.stores import wire
from core.stores.edge import EdgeStore
from core.stores.frames import reading
from core.types import AssetId


@dataclass(frozen=True, slots=True)
class Call:
    """What to do with the store, the index it is about, and whether and how many points it may write."""

    work: Callable[[EdgeStore], Any]
    index: Index | None = None
    writes: bool = False
    points: int = 0


def read(said: Any) -> Call:
    """The call that a frame says. Raises Defect for what is none."""
    with reading():
        return _CALLS[said["call"]](said)


def _create(said: wire.Plain) -> Call:
    index = wire.index_from(said["index"])
    return Call(lambda store: store.create(index), index)


def _drop(said: wire.Plain) -> Call:
    index_id = _text(said["id"])
    return Call(lambda store: store.drop(index_id))


def _indexes(_: wire.Plain) -> Call:
    return Call(lambda store: store.indexes())


def _recovered(_: wire.Plain) -> Call:
    return Call(lambda store: list(store.recovered))


def _upsert(said: wire.Plain) -> Call:
    index, points = wire.index_from(said["index"]), wire.points_from(said["points"])
    return Call(lambda store: store.upsert(index, points), index, True, len(points))


def _flush(said: wire.Plain) -> Call:
    index = wire.index_from(said["index"])
    return Call(lambda store: store.flush(index), index)


def _forget(said: wire.Plain) -> Call:
    index = wire.index_from(said["index"])
    below = [None if number is None else _number(number) for number in said["below"]]
    assets = dict(zip(map(AssetId, wire.ids_from(said["assets"])), below, strict=True))
    return Call(lambda store: store.forget(index, assets), index, True)


def _search(said: wire.Plain) -> Call:
    index, queries = wire.index_from(said["index"]), [wire.nearest_from(query) for query in said["queries"]]
    return Call(lambda store: [wire.found_to(hits) for hits in store.search(index, queries)], index)


def _count(said: wire.Plain) -> Call:
    index, scope, where = (
        wire.index_from(said["index"]),
        wire.scope_from(said["scope"]),
        wire.filter_from(said["where"]),
    )
    exact = _flag(said["exact"])
    return Call(lambda store: store.count(index, scope, where, exact=exact), index)


def _of_assets(said: wire.Plain) -> Call:
    index, assets = wire.index_from(said["index"]), [AssetId(one) for one in wire.ids_from(said["assets"])]
    return Call(lambda store: [wire.stored_to(point) for point in store.of_assets(index, assets)], index)


def _scroll(said: wire.Plain) -> Call:
    index, limit = wire.index_from(said["index"]), _number(said["limit"])
    after = None if said["after"] is None else UUID(bytes=said["after"])
    return Call(lambda store: [wire.stored_to(p) for p in store.scroll(index, after=after, limit=limit)], index)


def _unindexed(said: wire.Plain) -> Call:
    index = wire.index_from(said["index"])
    return Call(lambda store: store.unindexed(index))


_CALLS: dict[str, Callable[[wire.Plain], Call]] = {
    "create": _create,
    "drop": _drop,
    "indexes": _indexes,
    "recovered": _recovered,
    "upsert": _upsert,
    "flush": _flush,
    "forget": _forget,
    "search": _search,
    "count": _count,
    "of_assets": _of_assets,
    "scroll": _scroll,
    "unindexed": _unindexed,
}


def _text(said: object) -> str:
    if not isinstance(said, str):
        raise TypeError("no text")
    return said


def _flag(said: object) -> bool:
    if not isinstance(said, bool):
        raise TypeError("no flag")
    return said


def _number(said: object) -> int:
    if not isinstance(said, int):
        raise TypeError("no number")
    return said
