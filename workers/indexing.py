"""Bytes to points: claim, prepare, encode, upsert, forget, sign, finish.

Plain functions, the same in one process, under Celery and in tests. Any of them may die at any line: what is missing
is found by its receipt (`workers.upkeep.sweep`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter

from core.errors import CatalogueDown, Defect, Fault, NoSpaceFor, Refused
from core.points import Column, Points, payload, point_id
from core.ports import Encoder
from core.records import Claim, Collection, Index
from core.runtime import metrics, traces
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Sparse
from core.types import Asset, AssetId, Segment
from workers.decoding import decode
from workers.identity import me

BACKOFF = timedelta(seconds=5)  # doubled with every attempt
BACKOFF_CAP = timedelta(minutes=10)

Prepared = list[tuple[Claim, list[Segment]]]


@dataclass(slots=True)
class Tally:
    """What was done, and how long each stage took."""

    indexed: int = 0
    failed: int = 0
    stale: int = 0  # written, but the asset had changed meanwhile
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __iadd__(self, other: Tally) -> Tally:
        self.indexed += other.indexed
        self.failed += other.failed
        self.stale += other.stale
        for stage, spent in other.seconds.items():
            self.seconds[stage] += spent
        return self

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time spent inside to the stage."""
        began = perf_counter()
        try:
            with traces.span(f"index.{stage}"):
                yield
        finally:
            self.seconds[stage] += perf_counter() - began


def index_batch(parts: Parts, collection: str, ids: Sequence[AssetId]) -> Tally:
    """Index those of these assets that lack points and that nobody holds. One's failure is its own.

    Raises Unavailable when a part is down: the assets are handed back, no attempt is counted.
    """
    tally = Tally()
    kept = parts.catalogue.collection(collection)
    with tally.timed("commit"):
        claims = parts.catalogue.claim(collection, worker=me(), lease=parts.settings.lease, limit=len(ids), ids=ids)
    suspects = [claim for claim in claims if claim.attempt > 1]
    if suspects and len(claims) > 1:
        # A worker died, or failed, over one of these: each is tried alone, so that it takes no other with it.
        parts.catalogue.release(suspects)
        claims = [claim for claim in claims if claim.attempt == 1]
    else:
        suspects = []
    try:
        for some in by_bytes(claims, parts.settings.batch_bytes):
            tally += _index(parts, kept, some)
    except BaseException:
        # Down, stopped or interrupted: whatever it was, the assets are not to blame.
        with suppress(CatalogueDown):  # then the leases run out by themselves
            parts.catalogue.release(claims)
        raise
    if claims:
        metrics.batch({"indexed": tally.indexed, "failed": tally.failed, "stale": tally.stale}, tally.seconds)
    for suspect in suspects:
        tally += index_batch(parts, collection, [suspect.asset.id])
    return tally


def by_bytes(claims: Sequence[Claim], most: int) -> Iterator[list[Claim]]:
    """Runs whose files together are of at most so many bytes, or one file that alone is larger."""
    run: list[Claim] = []
    size = 0
    for claim in claims:
        if run and size + claim.asset.size > most:
            yield run
            run, size = [], 0
        run.append(claim)
        size += claim.asset.size
    if run:
        yield run


def _index(parts: Parts, collection: Collection, claims: Sequence[Claim]) -> Tally:
    tally = Tally()
    with tally.timed("decode"):
        prepared = _prepare(parts, collection, claims, tally)
    for index in parts.catalogue.indexes(collection.name):
        prepared = _write(parts, collection, index, prepared, tally)
    with tally.timed("commit"):
        parts.catalogue.finish([claim for claim, _ in prepared])
    tally.indexed += len(prepared)
    return tally


def _prepare(parts: Parts, collection: Collection, claims: Sequence[Claim], tally: Tally) -> Prepared:
    side = max((encoder.pixels for encoder in parts.encoders.of_profile(collection.profile)), default=0)
    out: Prepared = []
    for claim in claims:
        asset = claim.asset
        try:
            with parts.blobs.open(asset.digest) as source:
                said = decode(parts, source, modality=asset.modality, media_type=asset.media_type, side=side)
            out.append((claim, said))
        except (Refused, Defect) as fault:
            _fail(parts, claim, fault, tally)
    return out


def _write(parts: Parts, collection: Collection, index: Index, prepared: Prepared, tally: Tally) -> Prepared:
    """Encode, upsert, forget older generations, sign. Returns those that now have a receipt."""
    written, points = _encode(parts, collection, index, prepared, tally)
    if not written:
        return []
    claims = [claim for claim, _ in written]
    older: dict[AssetId, int | None] = {c.asset.id: c.asset.generation for c in claims if c.asset.generation > 1}
    with tally.timed("upsert"):
        parts.store.create(index)
        parts.store.upsert(index, points)
        if older:
            # Before the receipt: with it the asset would count as done, and nobody would come for what is left over.
            parts.store.forget(index, older)
        parts.store.flush(index)
    with tally.timed("commit"):
        refused = parts.catalogue.sign(index, {claim: len(segments) for claim, segments in written})
    if refused:
        with tally.timed("upsert"):
            parts.store.forget(index, refused)  # a late writer takes its points back
    stale = [claim for claim in claims if claim.asset.id in refused]
    parts.catalogue.finish(stale)
    tally.stale += len(stale)
    return [(claim, segments) for claim, segments in written if claim.asset.id not in refused]


def _encode(
    parts: Parts, collection: Collection, index: Index, prepared: Prepared, tally: Tally
) -> tuple[Prepared, Points]:
    """The points of a batch. A batch that breaks an encoder is halved until the culprit stands alone."""
    encoders = [parts.encoders.of_space(collection.profile, space) for space in index.spaces]
    try:
        with tally.timed("encode"):
            return prepared, points_of(index, encoders, prepared)
    except (Defect, Refused) as fault:
        if len(prepared) <= 1:
            for claim, _ in prepared:
                _fail(parts, claim, fault, tally)
            return [], Points([], [], {})
    middle = len(prepared) // 2
    halves = [_encode(parts, collection, index, half, tally) for half in (prepared[:middle], prepared[middle:])]
    kept = [pair for half, _ in halves for pair in half]
    with tally.timed("encode"):
        return kept, points_of(index, encoders, kept)


def points_of(index: Index, encoders: Sequence[Encoder], prepared: Prepared) -> Points:
    """The points of prepared assets, one column a space. Raises NoSpaceFor for an asset that no space embeds."""
    flat: list[tuple[Asset, Segment]] = [(claim.asset, segment) for claim, parts in prepared for segment in parts]
    columns: dict[EmbeddingSpace, Column] = {}
    held: set[int] = set()
    for encoder in encoders:
        space = encoder.space
        rows = [i for i, (_, segment) in enumerate(flat) if segment.content.modality in space.modalities]
        if not rows:
            continue
        held.update(rows)
        vectors = encoder.encode([flat[i][1].content for i in rows])
        if space.sparse:
            said = [(row, v) for row, v in zip(rows, vectors, strict=True) if isinstance(v, Sparse) and len(v)]
            rows, vectors = [row for row, _ in said], [v for _, v in said]
        columns[space] = Column(rows, vectors)
    for i, (asset, _) in enumerate(flat):
        if i not in held:
            raise NoSpaceFor(f"{asset.external_id}: no space of {index.collection!r} embeds {asset.modality}")
    return Points(
        ids=[point_id(asset, segment.ordinal) for asset, segment in flat],
        payloads=[payload(asset, segment, index.fields) for asset, segment in flat],
        columns=columns,
    )


def _fail(parts: Parts, claim: Claim, fault: Fault, tally: Tally) -> None:
    retry = fault.retryable and claim.attempt < parts.settings.max_attempts
    wait = min(BACKOFF * 2 ** (claim.attempt - 1), BACKOFF_CAP) if retry else None
    parts.catalogue.fail(claim, kind=fault.kind, message=str(fault), retry_in=wait)
    metrics.failed(fault.kind)
    tally.failed += 1
