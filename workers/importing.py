"""Import: rows with vectors to registered assets and their points, without embedding anything again.

Assets are registered first and claimed like any others, so that a worker, a removal or a kill beside it loses nothing;
what a killed import registered and did not write is written when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep

from core.errors import BadManifest, CatalogueDown, Conflict, Refused
from core.points import Column, Points
from core.records import Claim, Collection, Draft, Index, Outcome
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, batched
from core.types import Asset, AssetId, Digest, Tenant
from ingest.sources.seen import Seen
from workers.carried import Carried
from workers.decoding import limits_of
from workers.given import Given, given
from workers.identity import bury, me
from workers.intake import Problem
from workers.serving import made
from workers.table import Row

PATIENCE = 30.0  # seconds for a worker that is at the same assets
MOST = 512  # points written at once, or those of one asset that alone has more


@dataclass(slots=True)
class Imported:
    """What an import did, or has done so far."""

    rows: int = 0  # read
    total: int | None = None
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    points: int = 0  # written
    refused: list[Problem] = field(default_factory=list)
    without_bytes: int = 0  # assets whose bytes are not here: they cannot be shown, nor embedded by another model
    ignored: tuple[str, ...] = ()  # vectors that no space of the index takes
    lacking: tuple[str, ...] = ()  # spaces of the index of which no vectors were given

    @property
    def ok(self) -> bool:
        """Nothing was refused."""
        return not self.refused


Tell = Callable[[Imported], None]


def take_in(
    parts: Parts,
    collection: Collection,
    tenant: Tenant,
    rows: Iterable[Row],
    spaces: Mapping[str, EmbeddingSpace],
    *,
    done: Imported,
    bytes_from: Carried | None = None,
    bare: bool = True,
    trusted: bool = True,
    on_progress: Tell | None = None,
) -> Imported:
    """Register each asset of the rows and write its points into the serving index. Rows of one asset lie together.

    `spaces`: of the index, by the name that the vectors have in the rows. `bare`: whether an asset may have none, as a
    text without a word that a sparse space knows. `trusted`: whether a row may have whatever bytes are here of the
    digest that it names; else those alone that come along, or that the tenant has already: bytes are kept once for all
    tenants. Whatever is wrong with a row refuses its asset by name; the others land. Raises what the ports raise, and
    what `rows` does; what came before is kept.
    """
    index = parts.catalogue.serving(collection.name)
    made(parts, index)
    has: Callable[[Digest], bool] = (lambda _: True) if trusted else partial(parts.catalogue.holds, tenant)
    limits = limits_of(parts)
    batch: list[Given] = []
    held = 0
    with closing(Seen()) as seen:
        for several in _together(rows, limits.segments):
            done.rows += len(several)
            try:
                _check(seen, several, bare=bare)
                one = given(several, index, spaces, limits=limits, blobs=parts.blobs, carried=bytes_from, has=has)
            except Refused as fault:
                done.refused.append(Problem(several[0].name, fault.kind, f"{several[0].name}: {fault}"))
            else:
                batch.append(one)
                held += len(several)
            if held >= MOST or len(batch) >= parts.settings.batch:
                _commit(parts, collection, tenant, index, batch, done)
                batch, held = [], 0
            if on_progress is not None:
                on_progress(done)
        _commit(parts, collection, tenant, index, batch, done)
    if on_progress is not None:
        on_progress(done)
    return done


def _check(seen: Seen, rows: Sequence[Row], *, bare: bool) -> None:
    name = str(rows[0].said["external_id"]).encode("utf-8", "backslashreplace").decode()  # half a pair of surrogates
    if seen.first(name, "") is not None:
        raise BadManifest("its name came before: sort the rows by asset, and name each asset once")
    if not bare and not any(row.vectors for row in rows):
        raise BadManifest("it has no vector of those that are mapped: ingest the thing itself")


def _together(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Rows of one asset; of one with more than may be, as many as show it."""
    run: list[Row] = []
    for row in rows:
        if run and row.asset != run[0].asset:
            yield run
            run = []
        if len(run) <= most:
            run.append(row)
    if run:
        yield run


def _commit(
    parts: Parts, collection: Collection, tenant: Tenant, index: Index, batch: Sequence[Given], done: Imported
) -> None:
    if not batch:
        return
    if parts.catalogue.serving(collection.name).id != index.id:
        raise Conflict(f"{collection.name!r} has changed to another index meanwhile: import again, if it still fits")
    registered = parts.catalogue.register(tenant, collection.name, [one.draft for one in batch])
    for _, outcome in registered:
        done.outcomes[outcome] += 1
    done.without_bytes += sum(not parts.blobs.has(one.draft.digest) for one in batch)
    by_id = {asset_id: one for (asset_id, _), one in zip(registered, batch, strict=True)}
    until = monotonic() + PATIENCE
    left = _lacking(parts, index, by_id)
    while left:
        claims = _claimed(parts, collection, tenant, sorted(left))
        try:
            done.points += _write(parts, index, [(claim, by_id[claim.asset.id]) for claim in claims])
        except BaseException:
            with suppress(CatalogueDown):  # then the leases run out by themselves
                parts.catalogue.release(claims)
            raise
        left = _lacking(parts, index, by_id)
        if left and monotonic() >= until:
            for asset_id in sorted(left):
                name = by_id[asset_id].draft.external_id
                message = f"{name}: a worker holds it for {PATIENCE:.0f} s already: import it again"
                done.refused.append(Problem(name, "Unavailable", message))
            return
        if left and not claims:
            sleep(0.05)


def _claimed(parts: Parts, collection: Collection, tenant: Tenant, ids: Sequence[AssetId]) -> list[Claim]:
    """A worker that came first may have failed for want of the bytes: its failure is struck out."""
    bury(parts)
    parts.catalogue.forgive(tenant, collection.name, ids)
    return parts.catalogue.claim(
        collection.name, worker=me(), lease=parts.settings.lease, limit=len(ids), ids=list(ids)
    )


def _lacking(parts: Parts, index: Index, by_id: Mapping[AssetId, Given]) -> set[AssetId]:
    """Those that are as they were given, and have no receipt."""
    return {
        one.asset.id
        for one in parts.catalogue.standings(index, list(by_id))
        if one.generation != one.asset.generation and not one.removed
        if _as_given(one.asset, by_id[one.asset.id].draft)
    }


def _as_given(asset: Asset, draft: Draft) -> bool:
    return (asset.digest, asset.modality, asset.media_type) == (draft.digest, draft.modality, draft.media_type)


def _write(parts: Parts, index: Index, claimed: Sequence[tuple[Claim, Given]]) -> int:
    """Upsert, forget older generations, flush, sign, finish: in the order of `workers.indexing`; how many points."""
    mine = [(claim, one) for claim, one in claimed if _as_given(claim.asset, one.draft)]
    if others := [claim for claim, one in claimed if not _as_given(claim.asset, one.draft)]:
        parts.catalogue.release(others)  # somebody has replaced it since: it is theirs to index
    if not mine:
        return 0
    points = _points(index, mine)
    parts.store.upsert(index, points)
    older: dict[AssetId, int | None] = {c.asset.id: c.asset.generation for c, _ in mine if c.asset.generation > 1}
    if older:
        parts.store.forget(index, older)
    parts.store.flush(index)
    refused = parts.catalogue.sign(index, {claim: len(one.segments) for claim, one in mine})
    if refused:
        parts.store.forget(index, refused)  # a late writer takes its points back
    parts.catalogue.finish([claim for claim, _ in mine])
    return sum(len(one.segments) for claim, one in mine if claim.asset.id not in refused)


def _points(index: Index, mine: Sequence[tuple[Claim, Given]]) -> Points:
    flat = [(claim.asset, one, segment) for claim, one in mine for segment in one.segments]
    columns: dict[EmbeddingSpace, Column] = {}
    for space in index.spaces:
        rows = [row for row, (_, _, segment) in enumerate(flat) if space in segment.vectors]
        if rows:
            columns[space] = Column(rows, batched([flat[row][2].vectors[space] for row in rows]))
    return Points(
        ids=[segment.id_of(asset) for asset, _, segment in flat],
        payloads=[segment.payload_of(asset, index.fields) for asset, _, segment in flat],
        columns=columns,
    )
