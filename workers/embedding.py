"""Assets to the points of one index: decoded, cut, read, encoded. Nothing is written here.

What is known of a segment in a space already, from another index or from an earlier batch, is not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from core.errors import BadMetadata, Defect, Fault, NoSpaceFor, Refused
from core.fields import normal_metadata
from core.points import SNIPPET, Column, Points, Stored, payload, point_id
from core.ports import Encoder
from core.records import Claim, Collection, Index
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Sparse, Vector, Vectors, batched
from core.types import Asset, Piece, Reading, Segment, Text
from workers.decoding import decode, limits_of, wants_of
from workers.reading import Beat, Course, complete, course_of
from workers.tally import Tally

Prepared = Sequence[tuple[Claim, Sequence[Segment]]]
Key = tuple[Any, ...]  # what makes two segments the same, of one asset or of two of equal content


class Known:
    """Vectors that need not be computed: of a space, of a segment of a tenant's content."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, Key], Vector] = {}

    def get(self, space: EmbeddingSpace, key: Key | None) -> Vector | None:
        """None: it is not known."""
        return None if key is None else self._held.get((space.fingerprint, key))

    def put(self, space: EmbeddingSpace, key: Key | None, vector: Vector) -> None:
        """Remember it. A segment without a key is not remembered."""
        if key is not None:
            self._held[space.fingerprint, key] = vector

    def learn(self, spaces: Sequence[EmbeddingSpace], points: Sequence[Stored]) -> None:
        """Remember the vectors of points of an index of these spaces."""
        for point in points:
            key = _key_of(point.payload)
            for space in spaces:
                if (vector := point.vectors.get(space.vector_name)) is not None:
                    self.put(space, key, vector)


def _key_of(said: Mapping[str, Any]) -> Key | None:
    span = said.get("span")
    if len(said.get("text", "")) >= SNIPPET and (span is None or span[2] != "char"):
        return None  # how it goes on is not in the point
    where = None if span is None else tuple(span)
    whole = said["tenant"], said["digest"], said["media_type"], said["modality"]
    part = said.get("source"), said["ordinal"], said["content"], where
    return (*whole, *part, said.get("text"), said.get("language"))


@dataclass(slots=True, kw_only=True)
class Work:
    """What it takes to make points of an index. `failed` is told of each asset that makes none, and why."""

    parts: Parts
    collection: Collection
    index: Index
    tally: Tally
    failed: Callable[[Claim, Fault], None]
    beat: Beat = lambda: None
    known: Known | None = None

    def __post_init__(self) -> None:
        self.collection = as_of(self.collection, self.index)

    def reading(self, reads: frozenset[Reading], known: Known) -> Work:
        """The same work, in which only so much text is read, and so much is known."""
        other = replace(self, known=known)
        other.collection = replace(other.collection, reads=reads)
        return other

    def course(self, asset: Asset) -> Course:
        """How an asset is cut and read for this index."""
        return course_of(self.parts, self.collection, asset, limits_of(self.parts), self.beat)


def as_of(collection: Collection, index: Index) -> Collection:
    """The collection as an index knows it: its own profile, fields and reads, whatever serves at the moment."""
    return replace(collection, profile=index.profile or collection.profile, fields=index.fields, reads=index.reads)


def encoders_of(parts: Parts, collection: Collection, index: Index) -> list[Encoder]:
    """The encoders of its spaces, in order. Raises ModelMismatch, UnknownProfile, MissingExtra, BadModel."""
    profile = index.profile or collection.profile
    return [parts.encoders.of_space(profile, space) for space in index.spaces]


def prepare(work: Work, claims: Sequence[Claim], long: list[Claim]) -> Iterator[Prepared]:
    """The segments of each, in runs of no more than a lane may hold, and one asset; what comes in several pieces is not
    held, but put into `long`. Whoever takes a run lets go of it before the next: `map` does, a loop would not."""
    run: list[tuple[Claim, Sequence[Segment]]] = []
    held, most = 0, work.parts.settings.decoded_bytes
    for claim in claims:
        segments = _segments(work, claim, long)
        if segments is None:
            continue
        run.append((claim, segments))
        held += sum(segment.content.nbytes for segment in segments)
        del segments
        if held >= most:
            full, run, held = [run], [], 0
            yield full.pop()  # no name here holds it on
    if run:
        yield run


def _segments(work: Work, claim: Claim, long: list[Claim]) -> Sequence[Segment] | None:
    try:
        with pieces(work, claim) as some:
            piece = next(some)
        if piece.last:
            with work.tally.timed("read"):
                return complete(work.course(claim.asset), piece).segments
        long.append(claim)
    except (Refused, Defect) as fault:
        work.failed(claim, fault)
    return None


def fitting(work: Work, claims: Sequence[Claim]) -> list[Claim]:
    """Those whose metadata fits the fields of the index: they may have been declared after it came."""
    out: list[Claim] = []
    for claim in claims:
        try:
            _declared(work.index, claim.asset)
            out.append(claim)
        except BadMetadata as fault:
            work.failed(claim, fault)
    return out


@contextmanager
def pieces(work: Work, claim: Claim, *, fresh: bool = False) -> Iterator[Iterator[Piece]]:
    """An asset decoded a piece at a time."""
    asset = claim.asset
    with work.tally.timed("fetch"):
        source = work.parts.blobs.open(asset.digest)
    with source:
        made = decode(
            work.parts,
            source,
            modality=asset.modality,
            media_type=asset.media_type,
            wants=wants_of(work.parts, work.collection, asset.modality),
            fresh=fresh,
        )
        with closing(made):
            yield _timed(made, work.tally)


def _timed(made: Iterator[Piece], tally: Tally) -> Iterator[Piece]:
    while True:
        with tally.timed("decode"):
            piece = next(made, None)
        if piece is None:
            return
        yield piece


def encode(work: Work, prepared: Prepared) -> tuple[Prepared, Points]:
    """The points of a batch. A batch that breaks an encoder is halved until the culprit stands alone."""
    encoders = encoders_of(work.parts, work.collection, work.index)
    try:
        with work.tally.timed("encode"):
            return prepared, points_of(work.index, encoders, prepared, work.known)
    except (Defect, Refused) as fault:
        if len(prepared) <= 1:
            for claim, _ in prepared:
                work.failed(claim, fault)
            return [], Points([], [], {})
    middle = len(prepared) // 2
    halves = [encode(work, half) for half in (prepared[:middle], prepared[middle:])]
    kept = [pair for half, _ in halves for pair in half]
    with work.tally.timed("encode"):
        return kept, points_of(work.index, encoders, kept, work.known)


def points_of(index: Index, encoders: Sequence[Encoder], prepared: Prepared, known: Known | None = None) -> Points:
    """The points of prepared assets, one column a space, and none for a segment that no space embeds."""
    spoken = spoken_by(encoder.space for encoder in encoders)
    flat: list[tuple[Asset, Segment]] = [
        (asset, segment)
        for claim, segments in prepared
        for asset in [_declared(index, claim.asset)]
        for segment in segments
        if segment.content.modality in spoken
    ]
    payloads = [payload(asset, segment, index.fields) for asset, segment in flat]
    keys = [_key(said, segment) for said, (_, segment) in zip(payloads, flat, strict=True)] if known else []
    columns: dict[EmbeddingSpace, Column] = {}
    for encoder in encoders:
        rows = [i for i, (_, segment) in enumerate(flat) if segment.content.modality in encoder.space.modalities]
        if column := _column(encoder, rows, flat, known, keys):
            columns[encoder.space] = column
    return Points(
        ids=[point_id(asset, segment.ordinal, segment.source) for asset, segment in flat],
        payloads=payloads,
        columns=columns,
    )


def spoken_by(spaces: Iterator[EmbeddingSpace] | Sequence[EmbeddingSpace]) -> frozenset[Any]:
    """The contents that some of these spaces embeds."""
    return frozenset(content for space in spaces for content in space.modalities)


def _key(said: Mapping[str, Any], segment: Segment) -> Key | None:
    longer = isinstance(segment.content, Text) and len(segment.content.value) > SNIPPET
    return None if longer and (segment.span is None or segment.span.unit != "char") else _key_of(said)


def _column(
    encoder: Encoder,
    rows: list[int],
    flat: Sequence[tuple[Asset, Segment]],
    known: Known | None,
    keys: Sequence[Key | None],
) -> Column | None:
    space = encoder.space
    held = {row: vector for row in rows if known and (vector := known.get(space, keys[row])) is not None}
    asked = [row for row in rows if row not in held]
    if known:
        asked = list({keys[row] or row: row for row in asked}.values())  # one of each
    made: Vectors = encoder.encode([flat[row][1].content for row in asked]) if asked else []
    if known is not None:
        for row, vector in zip(asked, made, strict=True):
            held[row] = vector
            known.put(space, keys[row], vector)
        held |= {row: vector for row in rows if row not in held and (vector := known.get(space, keys[row])) is not None}
        made = batched([held[row] for row in rows]) if rows else []
    if space.sparse:
        said = [
            (row, vector) for row, vector in zip(rows, made, strict=True) if isinstance(vector, Sparse) and len(vector)
        ]
        rows, made = [row for row, _ in said], [vector for _, vector in said]
    return Column(rows, made) if rows else None


def _declared(index: Index, asset: Asset) -> Asset:
    """The asset with its metadata in the form of the index' fields. Raises BadMetadata."""
    return replace(asset, metadata=normal_metadata(index.fields, asset.metadata))


def no_space(index: Index, asset: Asset) -> NoSpaceFor:
    """Why an asset without points has none."""
    return NoSpaceFor(f"{asset.external_id}: no space of {index.collection!r} embeds {asset.modality}")
