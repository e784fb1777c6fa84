"""Reconcile: compare the catalogue with an index, both ways, and bring the index to what the catalogue says.

The scan only raises suspicions, in bulk and while writes go on. Each is then judged alone, by what both sides say at
that moment; an asset that a worker holds is left to its worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from core.errors import BadMetadata
from core.fields import normal_metadata
from core.points import Stored, text_words
from core.records import Index, Standing
from core.runtime import metrics
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from workers.serving import made

PAGE = 1000  # points or receipts at a time
SLICE = 1_000_000  # assets whose counts are held in memory at a time


class Kind(StrEnum):
    """How an asset and its points may disagree."""

    MISSING = "missing"  # a receipt speaks of points that are not there
    ORPHAN = "orphan"  # points of an asset that is not in the catalogue, or was removed
    STALE = "stale"  # points of another generation than the receipt's
    PAYLOAD = "payload"  # points that say something else than the catalogue does


@dataclass(frozen=True, slots=True)
class Finding:
    """One asset on which the two sides disagree."""

    index: str
    asset: AssetId
    external_id: str
    kinds: tuple[Kind, ...]


@dataclass(slots=True)
class Drift:
    """What a reconciliation found."""

    points: int = 0  # looked at
    receipts: int = 0  # looked at
    counts: Counter[Kind] = field(default_factory=Counter)  # assets by kind
    findings: list[Finding] = field(default_factory=list)  # the first `examples` of them
    repaired: int = 0


def reconcile(
    parts: Parts,
    collection: str,
    *,
    repair: bool = False,
    examples: int = 1000,
    slice_size: int = SLICE,
    tenant: Tenant | None = None,
    only: str | None = None,
    on_progress: Callable[[Drift], None] | None = None,
) -> Drift:
    """Compare; with `repair`, forget what should not be there and strike receipts of what is not, so that a sweep
    indexes it again. Of one tenant's assets, or of all; of every index, or `only` that one. Raises
    NoSuchCollection, StoreDown, CatalogueDown. Safe beside everything else, and twice."""
    parts.catalogue.collection(collection)
    drift = Drift()
    for index in parts.catalogue.indexes(collection):
        if only not in (None, index.id):
            continue
        made(parts, index)
        total = sum(len(page) for page in _receipts(parts, index, tenant))
        slices = total // slice_size + 1
        for number in range(slices):
            for suspect in _suspects(parts, index, partial(_in_slice, slices, number), drift, tenant):
                _judge(parts, index, suspect, drift, repair=repair, examples=examples)
                if on_progress is not None:
                    on_progress(drift)
        if repair:
            parts.store.flush(index)
    if tenant is None and only is None:
        metrics.drift(collection, Kind, {str(kind): count for kind, count in drift.counts.items()})
    return drift


def _in_slice(slices: int, number: int, asset: AssetId) -> bool:
    return asset.int % slices == number


def _receipts(parts: Parts, index: Index, tenant: Tenant | None) -> Iterator[list[tuple[AssetId, int, int]]]:
    after: AssetId | None = None
    while page := parts.catalogue.signed(index, after=after, limit=PAGE, tenant=tenant):
        yield page
        after = page[-1][0]


def _points(parts: Parts, index: Index) -> Iterator[list[Stored]]:
    after: UUID | None = None
    while page := parts.store.scroll(index, after=after, limit=PAGE):
        yield page
        after = page[-1].id


def _suspects(
    parts: Parts, index: Index, mine: Callable[[AssetId], bool], drift: Drift, tenant: Tenant | None
) -> Iterator[AssetId]:
    """Assets of this slice on which the two sides seem to disagree, each once."""
    held: Counter[AssetId] = Counter()  # points of the generation that the receipt speaks of
    seen: set[AssetId] = set()
    for page in _points(parts, index):
        of_slice = [
            point for point in page if mine(_asset(point)) and (tenant is None or point.payload["tenant"] == tenant)
        ]
        drift.points += len(of_slice)
        known = {s.asset.id: s for s in parts.catalogue.standings(index, list({_asset(p) for p in of_slice}))}
        for point in of_slice:
            asset = _asset(point)
            if tenant is not None and asset in known and known[asset].asset.tenant != tenant:
                continue  # a point that is wrongly said to be this tenant's: the operator's to see
            if _wrong(index, point, known.get(asset)):
                if asset not in seen:
                    seen.add(asset)
                    yield asset
            else:
                held[asset] += 1
    for receipts in _receipts(parts, index, tenant):
        for asset, _, points in receipts:
            if mine(asset):
                drift.receipts += 1
                if held[asset] != points and asset not in seen:
                    seen.add(asset)
                    yield asset


def _asset(point: Stored) -> AssetId:
    return AssetId(UUID(point.payload["asset"]))


def _wrong(index: Index, point: Stored, standing: Standing | None) -> Kind | None:
    if standing is None or standing.removed:
        return Kind.ORPHAN
    if standing.generation is None or standing.generation != standing.asset.generation:
        # Waiting to be indexed: what is there of an older generation is found until then, and forgotten after.
        return Kind.STALE if point.payload["generation"] > standing.asset.generation else None
    if point.payload["generation"] != standing.generation:
        return Kind.STALE
    return Kind.PAYLOAD if _payload_differs(index, point.payload, standing) else None


def _payload_differs(index: Index, said: Mapping[str, Any], standing: Standing) -> bool:
    asset = standing.asset
    try:
        metadata = normal_metadata(index.fields, asset.metadata)
    except BadMetadata:  # it was declared before these fields were, and is not in an index of theirs
        return True
    return (
        said["tenant"] != asset.tenant
        or said["external_id"] != asset.external_id
        or said["modality"] != asset.modality
        or said["media_type"] != asset.media_type
        or said["digest"] != asset.digest
        or dict(said["metadata"]) != metadata
        or dict(said["words"]) != text_words(index.fields, metadata)
    )


def _judge(parts: Parts, index: Index, asset: AssetId, drift: Drift, *, repair: bool, examples: int) -> None:
    points = parts.store.of_assets(index, [asset])
    standing = next(iter(parts.catalogue.standings(index, [asset])), None)
    if standing is not None and standing.leased:
        return
    kinds = _kinds(index, points, standing)
    if not kinds:
        return
    drift.counts.update(kinds)
    if len(drift.findings) < examples:
        name = standing.asset.external_id if standing else str(points[0].payload["external_id"])
        drift.findings.append(Finding(index.id, asset, name, tuple(kinds)))
    if repair:
        _repair(parts, index, asset, points, standing)
        drift.repaired += 1


def _kinds(index: Index, points: Sequence[Stored], standing: Standing | None) -> list[Kind]:
    kinds = {kind for point in points if (kind := _wrong(index, point, standing)) is not None}
    if standing is not None and standing.generation is not None:
        right = sum(point.payload["generation"] == standing.generation for point in points)
        current = standing.generation == standing.asset.generation
        if current and not standing.removed and right != standing.points:
            kinds.add(Kind.MISSING)
    return sorted(kinds)


def _repair(parts: Parts, index: Index, asset: AssetId, points: Sequence[Stored], standing: Standing | None) -> None:
    if standing is None:
        parts.store.forget(index, {asset: None})
        return
    # The receipt first: should we die between, the asset is indexed again, which forgets what is older.
    if standing.generation is not None:
        parts.catalogue.strike(index, {asset: standing.generation})
    now = standing.asset.generation
    # Points of this generation stay to be found, and are written over. Not so where there are too many of them, or
    # newer ones than the catalogue knows, as after restoring an older copy of it: a write would not replace those.
    current = sum(point.payload["generation"] == now for point in points)
    newer = any(point.payload["generation"] > now for point in points)
    too_many = not standing.removed and (newer or current > standing.points)
    parts.store.forget(index, {asset: None if too_many else now})
