"""Bytes to points: claim, prepare, encode, upsert, forget, sign, finish.

Plain functions, the same in one process, under Celery and in tests. Any of them may die at any line: what is missing
is found by its receipt (`workers.upkeep.sweep`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from time import perf_counter

from core.errors import CatalogueDown, Defect, Fault, NoSpaceFor, NoSuchCollection, Refused
from core.points import Column, Points, payload, point_id
from core.ports import Encoder
from core.records import Claim, Collection, Index
from core.runtime import metrics
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Sparse
from core.types import Asset, AssetId, Piece, Segment
from workers.decoding import decode, limits_of, wants_of
from workers.identity import me
from workers.reading import Beat, complete, course_of
from workers.reuse import reused
from workers.tally import Tally

BACKOFF = timedelta(seconds=5)  # doubled with every attempt
BACKOFF_CAP = timedelta(minutes=10)
RENEWALS = 4  # of a lease, while it lasts

Prepared = list[tuple[Claim, Sequence[Segment]]]


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
    beat = _renewing(parts, claims)
    try:
        for some in by_bytes(claims, parts.settings.batch_bytes):
            tally += _index(parts, kept, some, beat)
    except BaseException:
        # Down, stopped or interrupted: whatever it was, the assets are not to blame.
        with suppress(CatalogueDown):  # then the leases run out by themselves
            parts.catalogue.release(claims)
        raise
    if claims:
        with suppress(CatalogueDown):  # a figure less
            parts.catalogue.spend(collection, tally.seconds, len(claims))
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


def _index(parts: Parts, collection: Collection, claims: Sequence[Claim], beat: Beat) -> Tally:
    tally = Tally()
    indexes = parts.catalogue.indexes(collection.name)
    prepared, long = _prepare(parts, collection, _write_anew(parts, collection, indexes, claims, tally), tally, beat)
    for index in indexes:
        prepared = _write(parts, collection, index, prepared, tally)
    with tally.timed("commit"):
        parts.catalogue.finish([claim for claim, _ in prepared])
    tally.indexed += len(prepared)
    for claim in long:
        _index_long(parts, collection, claim, tally, beat)
    return tally


def _write_anew(
    parts: Parts, collection: Collection, indexes: Sequence[Index], claims: Sequence[Claim], tally: Tally
) -> list[Claim]:
    """Write anew what has its vectors in the index already; the claims that are left to be embedded."""
    with tally.timed("reuse"):
        try:
            known = reused(parts.catalogue, parts.store, indexes, collection, claims)
        except NoSuchCollection:  # the store has lost the index of receipts: nothing is there to be taken
            return list(claims)
    done = set(known.claims)
    for index in indexes if done else ():
        _upsert(parts, index, known.points[index.id], tally)
        done &= _sign(parts, index, known.counts(index), tally)
    with tally.timed("commit"):
        parts.catalogue.finish(list(done))
    tally.indexed += len(done)
    embedded = set(known.claims)
    return [claim for claim in claims if claim not in embedded]


def _prepare(
    parts: Parts, collection: Collection, claims: Sequence[Claim], tally: Tally, beat: Beat
) -> tuple[Prepared, list[Claim]]:
    """The segments of each, and those that come in several pieces, of which none is held."""
    out: Prepared = []
    long: list[Claim] = []
    for claim in claims:
        try:
            with _pieces(parts, collection, claim, tally) as pieces:
                piece = next(pieces)
            if piece.last:
                course = course_of(parts, collection, claim.asset, limits_of(parts), beat)
                with tally.timed("read"):
                    out.append((claim, complete(course, piece).segments))
            else:
                long.append(claim)
        except (Refused, Defect) as fault:
            _fail(parts, claim, fault, tally)
    return out, long


@contextmanager
def _pieces(
    parts: Parts, collection: Collection, claim: Claim, tally: Tally, *, fresh: bool = False
) -> Iterator[Iterator[Piece]]:
    """An asset decoded a piece at a time."""
    asset = claim.asset
    with tally.timed("fetch"):
        source = parts.blobs.open(asset.digest)
    with source:
        made = decode(
            parts,
            source,
            modality=asset.modality,
            media_type=asset.media_type,
            wants=wants_of(parts, collection, asset.modality),
            fresh=fresh,
        )
        with closing(made):
            yield _timed(made, tally)


def _renewing(parts: Parts, claims: Sequence[Claim]) -> Beat:
    """Renews the leases when a good part of them is over: reading may take long, and is no worker's death."""
    lease = parts.settings.lease
    due = perf_counter() + lease.total_seconds() / RENEWALS

    def beat() -> None:
        nonlocal due
        if perf_counter() >= due:
            parts.catalogue.renew(claims, lease)
            due = perf_counter() + lease.total_seconds() / RENEWALS

    return beat


def _timed(pieces: Iterator[Piece], tally: Tally) -> Iterator[Piece]:
    while True:
        with tally.timed("decode"):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _index_long(parts: Parts, collection: Collection, claim: Claim, tally: Tally, beat: Beat) -> None:
    """An asset of many pieces: each is encoded and written before the next is decoded, and the lease renewed."""
    indexes = parts.catalogue.indexes(collection.name)
    counts = dict.fromkeys((index.id for index in indexes), 0)
    try:
        with _pieces(parts, collection, claim, tally, fresh=True) as pieces:
            course = course_of(parts, collection, claim.asset, limits_of(parts), beat)
            for decoded in pieces:
                with tally.timed("read"):
                    piece = complete(course, decoded)
                for index in indexes:
                    encoders = _encoders(parts, collection, index)
                    with tally.timed("encode"):
                        points = points_of(index, encoders, [(claim, piece.segments)])
                    _upsert(parts, index, points, tally)
                    counts[index.id] += len(points)
                with tally.timed("commit"):
                    if not parts.catalogue.renew([claim], parts.settings.lease):
                        break  # it changed, or is another's by now: no receipt will be taken, and that clears up
            else:
                for index in indexes:
                    if not counts[index.id]:
                        raise _no_space(index, claim.asset)
    except (Refused, Defect) as fault:
        if parts.catalogue.renew([claim], parts.settings.lease):  # else its points are another's by now
            for index in indexes:  # half of it shall not be found
                parts.store.forget(index, {claim.asset.id: None})
            _fail(parts, claim, fault, tally)
            return
    signed = [_sign(parts, index, {claim: counts[index.id]}, tally) for index in indexes]  # each: refused, it clears up
    if all(signed):
        with tally.timed("commit"):
            parts.catalogue.finish([claim])
        tally.indexed += 1


def _write(parts: Parts, collection: Collection, index: Index, prepared: Prepared, tally: Tally) -> Prepared:
    """Encode, upsert, forget older generations, sign. Returns those that now have a receipt."""
    written, points = _encode(parts, collection, index, prepared, tally)
    counts = Counter(said["asset"] for said in points.payloads)
    for claim, _ in written:
        if not counts[str(claim.asset.id)]:
            _fail(parts, claim, _no_space(index, claim.asset), tally)
    held = {claim: counts[str(claim.asset.id)] for claim, _ in written if counts[str(claim.asset.id)]}
    if not held:
        return []
    _upsert(parts, index, points, tally)
    signed = _sign(parts, index, held, tally)
    return [(claim, segments) for claim, segments in written if claim in signed]


def _upsert(parts: Parts, index: Index, points: Points, tally: Tally) -> None:
    with tally.timed("upsert"):
        parts.store.create(index)
        parts.store.upsert(index, points)


def _sign(parts: Parts, index: Index, counts: Mapping[Claim, int], tally: Tally) -> set[Claim]:
    """Make what was written durable and sign for it. Those whose receipt was taken."""
    older: dict[AssetId, int | None] = {c.asset.id: c.asset.generation for c in counts if c.asset.generation > 1}
    with tally.timed("upsert"):
        if older:
            # Before the receipt: with it the asset would count as done, and nobody would come for what is left over.
            parts.store.forget(index, older)
        parts.store.flush(index)
    with tally.timed("commit"):
        refused = parts.catalogue.sign(index, counts)
    if refused:
        with tally.timed("upsert"):
            parts.store.forget(index, refused)  # a late writer takes its points back
    stale = [claim for claim in counts if claim.asset.id in refused]
    parts.catalogue.finish(stale)
    tally.stale += len(stale)
    return {claim for claim in counts if claim.asset.id not in refused}


def _encoders(parts: Parts, collection: Collection, index: Index) -> list[Encoder]:
    return [parts.encoders.of_space(collection.profile, space) for space in index.spaces]


def _encode(
    parts: Parts, collection: Collection, index: Index, prepared: Prepared, tally: Tally
) -> tuple[Prepared, Points]:
    """The points of a batch. A batch that breaks an encoder is halved until the culprit stands alone."""
    encoders = _encoders(parts, collection, index)
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
    """The points of prepared assets, one column a space, and none for a segment that no space embeds."""
    spoken = frozenset(content for encoder in encoders for content in encoder.space.modalities)
    flat: list[tuple[Asset, Segment]] = [
        (claim.asset, segment)
        for claim, segments in prepared
        for segment in segments
        if segment.content.modality in spoken
    ]
    columns: dict[EmbeddingSpace, Column] = {}
    for encoder in encoders:
        space = encoder.space
        rows = [i for i, (_, segment) in enumerate(flat) if segment.content.modality in space.modalities]
        if not rows:
            continue
        vectors = encoder.encode([flat[i][1].content for i in rows])
        if space.sparse:
            said = [(row, v) for row, v in zip(rows, vectors, strict=True) if isinstance(v, Sparse) and len(v)]
            rows, vectors = [row for row, _ in said], [v for _, v in said]
        columns[space] = Column(rows, vectors)
    return Points(
        ids=[point_id(asset, segment.ordinal, segment.source) for asset, segment in flat],
        payloads=[payload(asset, segment, index.fields) for asset, segment in flat],
        columns=columns,
    )


def _no_space(index: Index, asset: Asset) -> NoSpaceFor:
    return NoSpaceFor(f"{asset.external_id}: no space of {index.collection!r} embeds {asset.modality}")


def _fail(parts: Parts, claim: Claim, fault: Fault, tally: Tally) -> None:
    retry = fault.retryable and claim.attempt < parts.settings.max_attempts
    wait = min(BACKOFF * 2 ** (claim.attempt - 1), BACKOFF_CAP) if retry else None
    parts.catalogue.fail(claim, kind=fault.kind, message=str(fault), retry_in=wait)
    metrics.failed(fault.kind)
    tally.failed += 1
