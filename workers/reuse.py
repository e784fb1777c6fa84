"""Content that has its vectors already is not embedded again: its points are written anew, of another generation or of
another asset of the same tenant, with the vectors they have, in this index or in one of the same spaces that serves.

So a change of metadata alone decodes and encodes nothing, and a file under two names, or in two collections, is
embedded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.errors import NoSuchCollection
from core.fields import normal_metadata
from core.points import Column, Points, Stored, point_id, text_words
from core.ports import Catalogue, VectorStore
from core.records import Claim, Collection, Index
from core.spaces import EmbeddingSpace, batched
from core.types import Asset, AssetId, Reading, Tenant

MOST = 512  # points of an asset: more are not held at once, and are embedded again

_SAME = ("tenant", "digest", "media_type", "modality")  # what decides, with the index, which vectors content has


@dataclass(slots=True)
class Reused:
    """What need not be embedded."""

    claims: list[Claim] = field(default_factory=list)
    points: dict[str, Points] = field(default_factory=dict)  # by the id of an index: of all claims

    def counts(self, index: Index) -> dict[Claim, int]:
        """How many points each claim has in an index."""
        held: defaultdict[str, int] = defaultdict(int)
        for said in self.points[index.id].payloads:
            held[said["asset"]] += 1
        return {claim: held[str(claim.asset.id)] for claim in self.claims}


def reused(
    catalogue: Catalogue, store: VectorStore, indexes: Sequence[Index], collection: Collection, claims: Sequence[Claim]
) -> Reused:
    """The claims whose content has vectors in each of these indexes, signed for, and their points.

    Raises what the ports raise.
    """
    found: dict[AssetId, dict[str, list[Stored]]] = {}
    captioned = Reading.CAPTION in collection.reads
    for index in indexes:
        for claim, points in _held(catalogue, store, index, claims, captioned=captioned):
            found.setdefault(claim.asset.id, {})[index.id] = points
    whole = [claim for claim in claims if indexes and len(found.get(claim.asset.id, ())) == len(indexes)]
    return Reused(
        claims=whole,
        points={
            index.id: _points(index, [(claim.asset, found[claim.asset.id][index.id]) for claim in whole])
            for index in indexes
        },
    )


def _held(
    catalogue: Catalogue, store: VectorStore, index: Index, claims: Sequence[Claim], *, captioned: bool
) -> Iterator[tuple[Claim, list[Stored]]]:
    """Claims with the points of an asset of equal content: their own of an earlier generation, or a twin's."""
    own = {claim: claim.asset.id for claim in claims if claim.asset.generation > 1}
    there = dict(_whole(catalogue, store, index, own, captioned=captioned)) if own else {}
    yield from there.items()
    for source, twins in _twins(catalogue, index, [claim for claim in claims if claim not in there]):
        if source.id == index.id:
            yield from _whole(catalogue, store, source, twins, captioned=captioned)
            continue
        with suppress(NoSuchCollection):  # another collection's, dropped meanwhile or lost: it is embedded
            yield from _whole(catalogue, store, source, twins, captioned=captioned)


def _twins(catalogue: Catalogue, index: Index, claims: Sequence[Claim]) -> list[tuple[Index, dict[Claim, AssetId]]]:
    """Claims with an asset of equal bytes, by the index that it is in."""
    by_tenant: defaultdict[Tenant, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_tenant[claim.asset.tenant].append(claim)
    out: dict[str, tuple[Index, dict[Claim, AssetId]]] = {}
    for tenant, some in by_tenant.items():
        twins = catalogue.twins(index, tenant, [claim.asset.digest for claim in some])
        for claim in some:
            if claim.asset.digest in twins:
                source, origin = twins[claim.asset.digest]
                out.setdefault(source.id, (source, {}))[1][claim] = origin
    return list(out.values())


def _whole(
    catalogue: Catalogue, store: VectorStore, index: Index, origins: Mapping[Claim, AssetId], *, captioned: bool
) -> Iterator[tuple[Claim, list[Stored]]]:
    """The claims whose origin has all its points in the index, signed for and of equal content."""
    signed = {
        standing.asset.id: (standing.generation, standing.points)
        for standing in catalogue.standings(index, sorted(set(origins.values())))
        if standing.generation is not None and 0 < standing.points <= MOST
    }
    points: defaultdict[AssetId, list[Stored]] = defaultdict(list)
    for point in store.of_assets(index, sorted(signed)) if signed else ():
        points[AssetId(UUID(point.payload["asset"]))].append(point)
    for claim, origin in origins.items():
        if origin not in signed:
            continue
        generation, count = signed[origin]
        if origin == claim.asset.id and generation == claim.asset.generation:
            continue  # its own receipt stands: it was claimed for another index
        if len(points[origin]) == count and all(
            _same(point.payload, claim.asset, generation, captioned=captioned) for point in points[origin]
        ):
            yield claim, points[origin]


def _same(said: Mapping[str, Any], asset: Asset, generation: int | None, *, captioned: bool) -> bool:
    """Whether a point is of equal content, of that generation, and says nothing that this asset's metadata does not."""
    return (
        said["generation"] == generation
        and all(said[name] == str(getattr(asset, name)) for name in _SAME)
        and (not captioned or said["metadata"].get("caption") == asset.metadata.get("caption"))
    )


def _points(index: Index, held: Sequence[tuple[Asset, Sequence[Stored]]]) -> Points:
    flat = [(asset, point) for asset, points in held for point in points]
    columns: dict[EmbeddingSpace, Column] = {}
    for space in index.spaces:
        rows = [row for row, (_, point) in enumerate(flat) if space.vector_name in point.vectors]
        if rows:
            columns[space] = Column(rows, batched([flat[row][1].vectors[space.vector_name] for row in rows]))
    return Points(
        ids=[_id(asset, point) for asset, point in flat],
        payloads=[repainted(index, asset, point) for asset, point in flat],
        columns=columns,
    )


def _id(asset: Asset, point: Stored) -> UUID:
    source = point.payload.get("source")
    return point_id(asset, point.payload["ordinal"], None if source is None else Reading(source))


def repainted(index: Index, asset: Asset, point: Stored) -> dict[str, Any]:
    """What the point says of its segment, and of this asset. Raises BadMetadata where it does not fit the fields."""
    said = normal_metadata(index.fields, asset.metadata)
    return {
        **point.payload,
        "asset": str(asset.id),
        "external_id": asset.external_id,
        "generation": asset.generation,
        "blocked": False,
        "metadata": said,
        "words": text_words(index.fields, said),
    }
