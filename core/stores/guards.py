"""What every store checks before its engine sees anything, so that each store raises the same Fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import numpy as np

from core.errors import BadPoint, Conflict, ModelMismatch
from core.points import Found, Nearest, Points, Stored, check_vectors
from core.records import Index, Storage
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import AssetId


def describe(index: Index) -> dict[str, Any]:
    """What an index is made of, JSON-ready: kept beside its points, and compared when it is created again."""
    return {
        "id": index.id,
        "collection": index.collection,
        "spaces": [space.as_dict() for space in index.spaces],
        "fields": {name: str(kind) for name, kind in sorted(index.fields.items())},
        "storage": index.storage.as_dict(),
    }


def check_same(kept: Mapping[str, Any], index: Index) -> None:
    """Raises ModelMismatch when an index that exists was made for other spaces, Conflict for other fields or another
    storage. One that says nothing of its storage was made before there was a choice."""
    said = describe(index)

    def names(spaces: list[dict[str, Any]]) -> list[str]:
        return sorted(EmbeddingSpace.from_dict(space).vector_name for space in spaces)

    if (was := names(kept["spaces"])) != (now := names(said["spaces"])):
        raise ModelMismatch(f"index {index.id!r} holds {', '.join(was)}, not {', '.join(now)}: reindex into a new one")
    was_kept = {"storage": Storage().as_dict(), **kept}
    for part in ("collection", "fields", "storage"):
        if was_kept[part] != said[part]:
            raise Conflict(f"index {index.id!r} exists with {part} {was_kept[part]}, not {said[part]}: use another id")


def check_held(kept: Mapping[str, Any], index: Index, spaces: Iterable[EmbeddingSpace]) -> None:
    """Raises ModelMismatch when the index, as it was made, does not hold these spaces, whatever the caller believes."""
    held = {EmbeddingSpace.from_dict(space).vector_name for space in kept["spaces"]}
    if lacking := sorted({space.vector_name for space in spaces} - held):
        raise ModelMismatch(f"index {index.id!r} holds {sorted(held)}, not {lacking}: reindex into a new one")


def check_query(index: Index, query: Nearest) -> bool:
    """Whether the query can find anything: not with an empty sparse vector, nor when nothing is asked for.

    Raises ModelMismatch for a space that is not of the index, BadPoint for a vector that is malformed.
    """
    space, vector = query.space, query.vector
    if space not in index.spaces:
        held = ", ".join(s.vector_name for s in index.spaces)
        raise ModelMismatch(f"index {index.id!r} has no space {space.vector_name}; it has {held}")
    if space.sparse:
        check_vectors(space, [as_sparse(vector)])
        return len(vector) > 0 and query.limit > 0
    if isinstance(vector, Sparse) or vector.shape != (space.dim,) or not np.isfinite(vector).all():
        raise BadPoint(f"{space.name}: a query must be a finite vector of {space.dim} numbers")
    return query.limit > 0


def as_sparse(vector: Vector) -> Sparse:
    """The vector, known to be sparse. Raises BadPoint."""
    if not isinstance(vector, Sparse):
        raise BadPoint(f"want a sparse vector, got {type(vector).__name__}")
    return vector


def by_generation(points: Points) -> Iterator[tuple[int, list[int]]]:
    """The rows of each generation, oldest first: a write is conditional on one generation at a time."""
    rows: dict[int, list[int]] = {}
    for row, said in enumerate(points.payloads):
        generation = said.get("generation")
        if not isinstance(generation, int):
            raise BadPoint(f"point {points.ids[row]}: the payload says no generation")
        rows.setdefault(generation, []).append(row)
    yield from sorted(rows.items())


def best_first(found: list[Found]) -> list[Found]:
    """Larger scores first; equal ones by id, so that an answer is the same every time."""
    return sorted(found, key=lambda hit: (-hit.score, hit.id.int))


def in_order(point: Stored) -> tuple[str, str, int, UUID]:
    """By asset, then the thing itself before what was read out of it, then as they follow each other."""
    said = point.payload
    return said["asset"], said.get("source", ""), said["ordinal"], point.id


def grouped(assets: Mapping[AssetId, int | None]) -> dict[int | None, list[AssetId]]:
    """Assets by the generation below which they are to be forgotten: one delete each."""
    out: dict[int | None, list[AssetId]] = defaultdict(list)
    for asset, below in assets.items():
        out[below].append(asset)
    return out
