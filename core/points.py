"""Points: what an index holds of a segment, as columns, and how they are found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from core.errors import BadPoint
from core.fields import Fields, FieldType
from core.filters import Filter, words
from core.spaces import Dense, EmbeddingSpace, Metric, Sparse, Vector, Vectors
from core.types import Asset, AssetId, Modality, Reading, Segment, Span, Tenant, Text

NAMESPACE = UUID("6f0d3f5c-6b0e-5c39-9d5f-3d0f2f8f9a11")
EF = 128  # candidates of a walk through the graph: recall@10 of 0.99 and more at 100,000 points in clusters
SNIPPET = 500  # characters of a text segment kept with its point, to show a hit without a second look-up


def point_id(asset: Asset, ordinal: int, source: Reading | None = None) -> UUID:
    """The same for the same segment in every index: written twice is written once."""
    what = f"{ordinal}" if source is None else f"{source} {ordinal}"
    return uuid5(NAMESPACE, f"{asset.tenant}\n{asset.collection}\n{asset.id}\n{what}")


def payload(asset: Asset, segment: Segment, fields: Fields, *, blocked: bool = False) -> dict[str, Any]:
    """What a point says of its segment: all that a filter asks and all that a hit shows."""
    said: dict[str, Any] = {
        "asset": str(asset.id),
        "external_id": asset.external_id,
        "tenant": asset.tenant,
        "modality": str(asset.modality),
        "media_type": asset.media_type,
        "digest": asset.digest,
        "generation": asset.generation,
        "ordinal": segment.ordinal,
        "content": str(segment.content.modality),
        "blocked": blocked,
        "metadata": dict(asset.metadata),
        "words": text_words(fields, asset.metadata),
    }
    if segment.span is not None:
        said["span"] = [segment.span.start, segment.span.end, segment.span.unit]
    if segment.source is not None:
        said["source"] = str(segment.source)
    if isinstance(segment.content, Text):
        said["text"] = segment.content.value[:SNIPPET]
        if segment.content.language:
            said["language"] = segment.content.language
    return said


def text_words(fields: Fields, metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """The words of every declared text field, one list a value: our own tokens, so that each store agrees on them."""
    out: dict[str, list[str]] = {}
    for name, kind in fields.items():
        held = metadata.get(name)
        if kind is FieldType.TEXT and isinstance(held, str):
            out[name] = words(held)
    return out


def span_of(said: Mapping[str, Any]) -> Span | None:
    """The span in a payload."""
    at = said.get("span")
    return Span(at[0], at[1], at[2]) if at else None


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The vectors of one space: `vectors[i]` belongs to point `rows[i]`. A point may have none."""

    rows: Sequence[int]
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A batch of points, by columns."""

    ids: Sequence[UUID]
    payloads: Sequence[Mapping[str, Any]]
    columns: Mapping[EmbeddingSpace, Column]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What every query and count is limited to, whoever asks. There is no query without one."""

    tenant: Tenant
    modalities: frozenset[Modality] = frozenset(Modality)  # of the assets
    contents: frozenset[Modality] = frozenset(Modality)  # of their segments: a picture may have words too
    assets: frozenset[AssetId] | None = None  # only these
    without: frozenset[AssetId] = frozenset()  # never these
    blocked: bool = False  # True shows blocked assets too: moderators only


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The points nearest to a vector of a space."""

    space: EmbeddingSpace
    vector: Vector
    scope: Scope
    where: Filter | None = None
    limit: int = 10
    exact: bool = False  # compare with every point of the scope and filter, full vectors
    ef: int | None = None  # candidates of a walk through the graph; None: what the store holds to be enough
    payload: frozenset[str] | None = None  # what of it is told: reading it costs more than finding it; None: all
    acorn: bool = False  # look past neighbours that the filter leaves out, too (ACORN-1, arXiv 2403.04871)


@dataclass(frozen=True, slots=True)
class Found:
    """A point that was found: its raw score in that space, larger is nearer."""

    id: UUID
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A point as it is stored; `vectors` by the name of the space's vector, empty unless asked for."""

    id: UUID
    payload: Mapping[str, Any]
    vectors: Mapping[str, Vector] = field(default_factory=dict)


def check_vectors(space: EmbeddingSpace, vectors: Vectors) -> None:
    """Raises BadPoint unless every vector is finite, of the space's dimension and, for cosine, of unit length.

    Done before every write: the engine accepts NaN in silence and can be bricked by a ragged vector.
    """
    if space.sparse:
        for v in vectors:
            _check_sparse(space, v)
        return
    rows = np.asarray(vectors)
    if rows.ndim != 2 or rows.shape[1] != space.dim or rows.dtype != np.float32:
        raise BadPoint(f"{space.name}: want f32 (n, {space.dim}), got {rows.dtype} {rows.shape}")
    if not np.isfinite(rows).all():
        raise BadPoint(f"{space.name}: a vector is not finite")
    if len(rows) and space.metric is Metric.COSINE:
        off = np.abs(np.linalg.norm(rows, axis=1) - 1.0).max()
        if off > 1e-3:
            raise BadPoint(f"{space.name}: a vector is not of unit length (off by {off:.3g})")


def _check_sparse(space: EmbeddingSpace, v: Sparse | Dense) -> None:
    if not isinstance(v, Sparse):
        raise BadPoint(f"{space.name}: want sparse vectors, got {type(v).__name__}")
    at, values = v.indices, v.values
    if at.ndim != 1 or at.shape != values.shape or not np.isfinite(values).all():
        raise BadPoint(f"{space.name}: a sparse vector is ragged or not finite")
    if len(at) and (int(at[-1]) >= space.dim or (np.diff(at.astype(np.int64)) <= 0).any()):
        raise BadPoint(f"{space.name}: sparse indices must grow and lie below {space.dim}")


def check_points(points: Points, spaces: Sequence[EmbeddingSpace]) -> None:
    """Raises BadPoint unless the columns fit the ids, the payloads and the spaces of an index."""
    if len(points.ids) != len(points.payloads):
        raise BadPoint(f"{len(points.ids)} ids, {len(points.payloads)} payloads")
    for space, column in points.columns.items():
        if space not in spaces:
            raise BadPoint(f"the index has no space {space.vector_name}")
        if len(column.rows) != len(column.vectors) or any(not 0 <= r < len(points.ids) for r in column.rows):
            raise BadPoint(f"{space.name}: rows and vectors do not fit the points")
        check_vectors(space, column.vectors)
