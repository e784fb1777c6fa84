"""An asset as its rows give it: looked at in every part before anything of it is kept."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np

from core.errors import BadManifest, BadMetadata, CorruptMedia, TooLarge
from core.fields import Fields
from core.points import payload, point_id
from core.ports import Blobs
from core.records import Draft, Index
from core.spaces import EmbeddingSpace, Metric, Sparse, Vector
from core.types import Asset, Audio, Content, Digest, Image, Modality, Reading, Segment, Span, Text
from ingest.limits import Limits
from ingest.register import metadata_of
from workers.carried import Carried
from workers.intake import LONGEST_ID
from workers.table import Row

UNIT = 1e-3  # how far from unit length a vector may be to be kept as it is
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,63}/[\w.+*-]{1,63}")
_UNITS = ("char", "second")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One segment, with what its point says of it and its checked vectors."""

    segment: Segment  # its content says of which kind it is, and shows how a text begins; nothing else of it is here
    blocked: bool
    vectors: Mapping[EmbeddingSpace, Vector]

    def id_of(self, asset: Asset) -> UUID:
        """Its point's id."""
        return point_id(asset, self.segment.ordinal, self.segment.source)

    def payload_of(self, asset: Asset, fields: Fields) -> dict[str, Any]:
        """What its point says."""
        return payload(asset, self.segment, fields, blocked=self.blocked)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """An asset and its segments."""

    draft: Draft
    segments: Sequence[Part]


def given(
    rows: Sequence[Row],
    index: Index,
    spaces: Mapping[str, EmbeddingSpace],
    *,
    limits: Limits,
    blobs: Blobs,
    carried: Carried | None,
    has: Callable[[Digest], bool] = lambda _: True,
) -> Given:
    """What these rows, all of one asset, say. Its bytes are stored where they come along.

    `has`: whether whoever gives them may have the bytes of that digest, should they be here already: otherwise the
    asset has none, and another digest. Raises BadManifest, BadMetadata, TooLarge, CorruptMedia when the bytes are
    others, BlobsDown.
    """
    limits.check("segments", len(rows))
    parts = [_part(row, spaces) for row in rows]
    if len({(part.segment.source, part.segment.ordinal) for part in parts}) < len(parts):
        raise BadManifest("two of its rows are of one segment: give each an ordinal of its own")
    said = rows[0].said
    if any(_of_asset(row.said) != _of_asset(said) for row in rows):
        raise BadManifest("its rows disagree about the asset: export it again")
    metadata = _json(said["metadata"])
    kept = metadata_of(metadata, fields=index.fields, limits=limits)
    draft = Draft(
        external_id=_external_id(said["external_id"]),
        modality=_modality(said["modality"]),
        media_type=_matching(_MEDIA_TYPE, "media type", said["media_type"]),
        digest=Digest(_matching(_DIGEST, "digest", said["digest"])),
        size=_count("size", said["size"]),
        metadata=kept,
    )
    if not _keep(rows[0], draft, blobs, carried, has=has(draft.digest)):
        draft = replace(draft, digest=_bare(draft.digest))
    return Given(draft=draft, segments=parts)


def _of_asset(said: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(said[name] for name in ("external_id", "modality", "media_type", "digest", "size", "metadata"))


def _bare(digest: Digest) -> Digest:
    """Of something that is said to have these bytes, and may not: those of no file."""
    return Digest(hashlib.sha256(f"said to be {digest}".encode()).hexdigest())


def _keep(row: Row, draft: Draft, blobs: Blobs, carried: Carried | None, *, has: bool) -> bool:
    """Store the bytes, unless they are there or were not given; whether the asset may have them."""
    if has and blobs.has(draft.digest):
        return True
    source = io.BytesIO(row.data) if row.data is not None else carried.open(draft.digest) if carried else None
    if source is None:
        return has
    with source:
        hashed, size = hashlib.sha256(), 0
        while chunk := source.read(1 << 20):
            hashed.update(chunk)
            size += len(chunk)
        if hashed.hexdigest() != draft.digest:
            raise CorruptMedia("its bytes are not those of its digest: export them again")
        if size != draft.size:
            raise BadManifest(f"its bytes are {size:,}, not {draft.size:,}: export it again")
        source.seek(0)
        blobs.put(source)
    return True


def _part(row: Row, spaces: Mapping[str, EmbeddingSpace]) -> Part:
    said = row.said
    content = _content(said["content"], said["text"], said["language"])
    source = said["source"]
    if source is not None and source not in Reading.__members__.values():
        raise BadManifest(f"source {source!r} is none of {', '.join(Reading)}")
    vectors = {}
    for name, vector in row.vectors.items():
        if (space := spaces.get(name)) is None:
            continue
        if content.modality not in space.modalities:
            raise BadManifest(f"space {space.name!r} embeds no {content.modality}: map the vector to another")
        vectors[space] = checked(space, vector)
    return Part(
        segment=Segment(
            ordinal=_count("ordinal", said["ordinal"]),
            content=content,
            span=_span(said["span_start"], said["span_end"], said["span_unit"]),
            source=None if source is None else Reading(source),
        ),
        blocked=bool(said["blocked"]),
        vectors=vectors,
    )


def checked(space: EmbeddingSpace, vector: Vector) -> Vector:
    """A vector as it may be written: what cosine compares is of unit length. Raises BadManifest."""
    what = f"its vector of {space.name!r}"
    if space.sparse:
        if not isinstance(vector, Sparse):
            raise BadManifest(f"{what} is not sparse, and the space is")
        at, values = np.asarray(vector.indices, np.int64), np.asarray(vector.values, np.float32)
        if len(at) != len(values) or len(np.unique(at)) != len(at):
            raise BadManifest(f"{what} has {len(at)} indices, some twice or too few, for {len(values)} values")
        if len(at) and (at.min() < 0 or at.max() >= space.dim):
            raise BadManifest(f"{what} has an index beyond its {space.dim:,}: it is of another model")
        _finite(what, values)
        order = np.argsort(at)
        return Sparse(at[order].astype(np.uint32), values[order])
    if isinstance(vector, Sparse) or vector.ndim != 1 or len(vector) != space.dim:
        shape = "sparse" if isinstance(vector, Sparse) else f"of {len(vector)} numbers"
        raise BadManifest(f"{what} is {shape}, not of {space.dim}: it is of another model")
    row = np.asarray(vector, np.float32)
    _finite(what, row)
    if space.metric is Metric.COSINE:
        length = float(np.linalg.norm(row.astype(np.float64)))
        if length < 1e-12:
            raise BadManifest(f"{what} is zero, which has no direction: embed the thing again")
        if abs(length - 1.0) > UNIT:
            row = (row.astype(np.float64) / length).astype(np.float32)
    return row


def _finite(what: str, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    if not np.isfinite(values).all():
        raise BadManifest(f"{what} holds a number that is not finite: embed the thing again")


def _content(kind: Any, text: Any, language: Any) -> Content:
    """Of that kind, and empty but for how a text begins."""
    match kind:
        case "text":
            if not isinstance(text or "", str) or not isinstance(language or "", str):
                raise BadManifest("its text is no text")
            return Text(text or "", language or "")
        case "image":
            return Image(np.zeros((0, 0, 3), np.uint8))
        case "audio":
            return Audio(np.zeros(0, np.float32), 1)
        case _:
            raise BadManifest(f"content {kind!r} is none of text, image, audio")


def _span(start: Any, end: Any, unit: Any) -> Span | None:
    if unit is None:
        return None
    if unit not in _UNITS or start is None or end is None or not np.isfinite([start, end]).all():
        raise BadManifest(f"span {start!r} to {end!r} {unit!r} is none: give two numbers of char or second")
    return Span(int(start), int(end), unit) if unit == "char" else Span(start, end, unit)


def _external_id(said: Any) -> str:
    if not isinstance(said, str) or not said:
        raise BadManifest("it has no external id: give each asset one")
    if len(said) > LONGEST_ID:
        raise TooLarge(f"an external id has at most {LONGEST_ID} characters")
    if "\0" in said:
        raise BadMetadata("an external id holds a NUL character: take it out")
    try:
        said.encode()
    except UnicodeEncodeError:
        raise BadMetadata("an external id holds half of a surrogate pair, which is no character") from None
    return said


def _modality(said: Any) -> Modality:
    try:
        return Modality(said)
    except ValueError:
        raise BadManifest(f"modality {said!r} is none of {', '.join(Modality)}") from None


def _matching(pattern: re.Pattern[str], what: str, said: Any) -> str:
    if not isinstance(said, str) or not pattern.fullmatch(said):
        raise BadManifest(f"{what} {str(said)[:80]!r} is none")
    return said


def _count(what: str, said: Any) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 2**53:
        raise BadManifest(f"{what} {said!r} is no number from 0 on")
    return said


def _json(said: Any) -> dict[str, Any]:
    try:
        metadata = json.loads(said)
    except (ValueError, TypeError, RecursionError) as exc:
        raise BadMetadata(f"its metadata is no JSON ({exc})") from exc
    if not isinstance(metadata, dict):
        raise BadMetadata("its metadata is no object of JSON")
    return metadata
