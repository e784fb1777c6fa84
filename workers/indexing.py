"""Bytes to points: claim, prepare, encode, upsert, forget, sign, finish.

Plain functions, the same in one process, under Celery and in tests. Any of them may die at any line: what is missing
is found by its receipt (`workers.upkeep.sweep`).

While a collection is reindexed an asset goes to several indexes. The one that serves decides whether it is indexed: a
fault of another is a failure of that other, and is tried again there. An index that may take the place of the one that
serves, at any moment, is written before it and signed for with it: it never lacks what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import perf_counter

from core.errors import CatalogueDown, Fault
from core.records import Claim, Collection, Index, IndexState
from core.runtime import metrics
from core.runtime.wiring import Parts
from core.types import AssetId
from workers.embedding import Known
from workers.identity import me
from workers.reading import Beat
from workers.tally import Tally
from workers.writing import Counts, Writing, forget, left_behind

RENEWALS = 4  # of a lease, while it lasts


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
    beat = renewing(parts, claims)
    try:
        for alike in apart(claims):
            for some in by_bytes(alike, parts.settings.batch_bytes):
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


def apart(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """One of each content, and the others: these then find what was made of the first (`workers.reuse`)."""
    first: dict[tuple[object, ...], Claim] = {}
    for claim in claims:
        asset = claim.asset
        first.setdefault((asset.tenant, asset.digest, asset.media_type, asset.modality), claim)
    once = set(first.values())
    return list(first.values()), [claim for claim in claims if claim not in once]


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
    several = len(indexes) > 1
    known = Known() if several else None
    courses = [
        Writing(parts, collection, index, tally, beat, known, _lacking(parts, index, claims) if several else claims)
        for index in indexes
    ]
    left = list(claims)
    order = stages(courses, careful=any(claim.attempt > 1 for claim in claims))
    for at, stage in enumerate(order, start=1):
        sign_all(parts, [(one.index, one.write()) for one in stage], tally)
        long = [claim for claim in claims if any(claim in one.long for one in stage)]
        if at == len(order):
            parts.catalogue.finish([claim for claim in left if claim not in long])
            left = long
        for claim in long:
            sign_all(parts, [(one.index, one.write_long(claim)) for one in stage if claim in one.long], tally)
            if at == len(order):
                parts.catalogue.finish([claim])
    return tally


def _lacking(parts: Parts, index: Index, claims: Sequence[Claim]) -> list[Claim]:
    there = parts.catalogue.having(index.id, [claim.asset.id for claim in claims])
    return [claim for claim in claims if claim.asset.id not in there]


def stages(courses: Sequence[Writing], *, careful: bool = False) -> list[list[Writing]]:
    """In which order, and which of them together, indexes are written and signed for.

    `careful`: a worker died over one of these assets, perhaps in a model that does not serve yet. So the index that
    serves is signed for before any other is tried.
    """
    rank = {IndexState.VERIFYING: 0, IndexState.SOAKING: 1, IndexState.SERVING: 2, IndexState.BUILDING: 3}
    if careful:
        rank[IndexState.SERVING] = -1
    ordered = sorted(courses, key=lambda one: rank[one.index.state])
    together = [one for one in ordered if one.index.state is not IndexState.BUILDING]
    if careful:
        return [[one] for one in ordered]
    return [some for some in (together, [one for one in ordered if one not in together]) if some]


def sign_all(parts: Parts, written: Sequence[tuple[Index, Counts]], tally: Tally) -> int:
    """Make what was written durable, and sign for all of it at once; how many receipts. Who was overtaken takes its
    points back."""
    durable: list[tuple[Index, Counts]] = []
    with tally.timed("upsert"):
        for index, counts in written:
            older: dict[AssetId, int | None] = {
                c.asset.id: c.asset.generation for c in counts if c.asset.generation > 1
            }
            try:
                if older:
                    # Before the receipt: with it the asset would count as done, and nobody would come for what is left.
                    forget(parts, index, older)
                if counts:
                    parts.store.flush(index)
                    durable.append((index, counts))
            except Fault as fault:
                left_behind(parts, index, fault, counts)
    with tally.timed("commit"):
        refused = parts.catalogue.sign_all(durable) if durable else []
    for (index, counts), late in zip(durable, refused, strict=True):
        if late:
            with tally.timed("upsert"):
                forget(parts, index, late)
        if index.state is IndexState.SERVING:
            tally.stale += len(late)
            tally.indexed += len(counts) - len(late)
    return sum(len(counts) - len(late) for (_, counts), late in zip(durable, refused, strict=True))


def renewing(parts: Parts, claims: Sequence[Claim]) -> Beat:
    """Renews the leases when a good part of them is over: reading may take long, and is no worker's death."""
    lease = parts.settings.lease
    due = perf_counter() + lease.total_seconds() / RENEWALS

    def beat() -> None:
        nonlocal due
        if perf_counter() >= due:
            parts.catalogue.renew(claims, lease)
            due = perf_counter() + lease.total_seconds() / RENEWALS

    return beat
