"""Points of what is erased: taken from every index that there is, forgotten, and looked for afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from core.erasing import Erasing
from core.errors import NoSuchCollection
from core.points import Nearest, Scope, Stored
from core.records import Index, IndexState
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Vector
from core.types import AssetId

PROBES = 4  # vectors of an asset and space that are searched for afterwards
MOST = 64  # vectors of an index that are
NEAREST = 10  # answers to each

Beat = Callable[[], None]


@dataclass(slots=True)
class Held:
    """What one index held of the erased assets, and what it holds still."""

    index: Index
    listed: bool  # by the catalogue; of one that is not, nobody knows the spaces
    points: list[UUID] = field(default_factory=list)
    probes: list[tuple[EmbeddingSpace, Vector]] = field(default_factory=list)
    still: set[UUID] = field(default_factory=set)  # points that were found after all


def indexes_of(parts: Parts, collection: str) -> Iterator[tuple[Index, bool]]:
    """Every index in the store that may hold points of the collection, whatever its state, and whether the catalogue
    knows it: what it does not list may be anybody's."""
    listed = {index.id: index for index in parts.catalogue.every_index()}
    for name in parts.store.indexes():
        if name not in listed:
            yield Index(id=name, collection="", state=IndexState.RETIRED, spaces=(), fields={}), False
        elif listed[name].collection == collection:
            yield listed[name], True


def taken_points(parts: Parts, erasing: Erasing, beat: Beat) -> list[Held]:
    """The points as they are before they go, some with their vectors; and those that somebody took before us."""
    out = []
    for index, listed in indexes_of(parts, erasing.collection):
        held = Held(index, listed, [UUID(one) for one in (erasing.found or {}).get(index.id, ())])
        seen = set(held.points)
        for target in erasing.targets:
            beat()
            mine = [
                point for point in _of(parts, index, [target.asset]) if point.payload["generation"] < target.generation
            ]
            held.points += [point.id for point in mine if point.id not in seen]
            held.probes += _probes(index, mine)
        held.probes = held.probes[:MOST]
        out.append(held)
    return out


def _of(parts: Parts, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
    try:
        return parts.store.of_assets(index, assets)
    except NoSuchCollection:  # it was dropped meanwhile, with all that was in it
        return []


def _probes(index: Index, points: Sequence[Stored]) -> Iterator[tuple[EmbeddingSpace, Vector]]:
    """Some vectors of each space, from all over the asset."""
    for space in index.spaces:
        vectors = [point.vectors[space.vector_name] for point in points if space.vector_name in point.vectors]
        for at in range(0, len(vectors), max(1, -(-len(vectors) // PROBES))):
            yield space, vectors[at]


def forget(parts: Parts, erasing: Erasing) -> None:
    """Delete them from every index, durably. What came back is of a later generation, and stays."""
    below: Mapping[AssetId, int | None] = {target.asset: target.generation for target in erasing.targets}
    if below:
        for index, _ in indexes_of(parts, erasing.collection):
            with suppress(NoSuchCollection):  # dropped meanwhile
                parts.store.forget(index, below)
                parts.store.flush(index)


def examine(parts: Parts, erasing: Erasing, held: Held, beat: Beat) -> None:
    """Look for them: by asset, by the ids they had, by count, and by exact search with the vectors they had. What is
    found is in `still`."""
    held.still.clear()
    if erasing.targets:
        with suppress(NoSuchCollection):  # dropped meanwhile, with all that was in it
            _by_asset(parts, erasing, held)
            _by_id(parts, erasing, held, beat)
            _by_search(parts, erasing, held, beat)


def _old(erasing: Erasing) -> Callable[[Mapping[str, object]], bool]:
    """Whether a payload is of an erased asset in a generation that is to be gone."""
    below = {str(target.asset): target.generation for target in erasing.targets}

    def old(said: Mapping[str, object]) -> bool:
        generation = said["generation"]
        return isinstance(generation, int) and generation < below.get(str(said["asset"]), 0)

    return old


def _scope(erasing: Erasing, *, theirs: bool) -> Scope:
    ids = frozenset(target.asset for target in erasing.targets)
    return Scope(tenant=erasing.tenant, assets=ids if theirs else None, blocked=True)


def _by_asset(parts: Parts, erasing: Erasing, held: Held) -> None:
    old = _old(erasing)
    if parts.store.count(held.index, _scope(erasing, theirs=True)) or not held.listed:
        ids = [target.asset for target in erasing.targets]
        held.still |= {point.id for point in parts.store.of_assets(held.index, ids) if old(point.payload)}


def _by_id(parts: Parts, erasing: Erasing, held: Held, beat: Beat) -> None:
    """Each id is what a page begins with that begins behind the one before it: this asks no index of payloads."""
    old = _old(erasing)
    for point in held.points:
        beat()
        after = UUID(int=point.int - 1) if point.int else None
        page = parts.store.scroll(held.index, after=after, limit=1)
        held.still |= {found.id for found in page if found.id == point and old(found.payload)}


def _by_search(parts: Parts, erasing: Erasing, held: Held, beat: Beat) -> None:
    old = _old(erasing)
    for space, vector in held.probes:
        beat()
        queries = [
            Nearest(space=space, vector=vector, scope=_scope(erasing, theirs=theirs), limit=NEAREST, exact=True)
            for theirs in (False, True)
        ]
        for answer in parts.store.search(held.index, queries):
            held.still |= {found.id for found in answer if old(found.payload)}
