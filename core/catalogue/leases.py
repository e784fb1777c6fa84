"""Statements that share out work: claims, receipts, failures. Each race is decided by one conditional statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, exists, func, literal, or_, select, update

from core.catalogue import rows
from core.catalogue.assets import insert_for
from core.catalogue.engine import now
from core.catalogue.tables import assets, failures, indexes, leases, receipts
from core.records import Claim, Failure, Index, IndexState
from core.types import AssetId, Tenant


def _claimable(collection: str, ids: Sequence[AssetId] | None, index: str | None) -> Select[Any]:
    moment = now()
    query = select(assets).where(assets.c.collection == collection, assets.c.removed_at.is_(None))
    if index is None:
        query = query.where(rows.lacking(rows.LIVE, moment), ~rows.leased(moment, ""))
    else:
        # What is to be found now comes first: an asset that the serving index still waits for is left alone.
        coming = exists(select(indexes.c.id)).where(indexes.c.id == index, indexes.c.state.in_(rows.COMING))
        lacks = and_(~rows.signed(index), ~rows.has_failed(index, moment))
        query = query.where(
            coming,
            or_(lacks, rows.abandoned(moment, index)),
            ~rows.lacking([IndexState.SERVING], moment),
            ~rows.leased(moment, index),
            ~rows.leased(moment, ""),
        )
    if ids is not None:
        query = query.where(assets.c.id.in_(list(ids)))
    return query.order_by(assets.c.changed_at, assets.c.id)


def missing(
    conn: Connection,
    collection: str,
    limit: int,
    quiet: timedelta,
    within: timedelta | None,
    index: str | None = None,
) -> list[AssetId]:
    """Port: `Catalogue.missing`."""
    query = _claimable(collection, None, index).with_only_columns(assets.c.id, maintain_column_froms=True).limit(limit)
    if quiet:
        # What somebody held, and holds no more, has no message that could still come.
        was_held = exists(leases.select()).where(leases.c.asset_id == assets.c.id).correlate(assets)
        query = query.where(or_(assets.c.changed_at <= now() - quiet, was_held))
    if within is not None:
        query = query.where(assets.c.changed_at >= now() - within)
    return [AssetId(found) for found in conn.execute(query).scalars()]


def claim(
    conn: Connection,
    collection: str,
    worker: str,
    lease: timedelta,
    limit: int,
    ids: Sequence[AssetId] | None,
    index: str | None = None,
) -> list[Claim]:
    """Port: `Catalogue.claim`.

    SKIP LOCKED only spares two claimers the same wait; what keeps them apart is the condition on the upsert: a lease
    that somebody took meanwhile is not returned.
    """
    query = _claimable(collection, ids, index).limit(limit)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(of=assets, skip_locked=True)
    wanted = {row.id: rows.asset(row) for row in conn.execute(query)}
    if not wanted:
        return []
    moment, token = now(), uuid4().hex
    of = select(indexes.c.id).where(indexes.c.collection == collection, indexes.c.state.in_(rows.LIVE))
    earlier = {
        row.asset_id: row.attempts
        for row in conn.execute(
            select(failures.c.asset_id, func.max(failures.c.attempts).label("attempts"))
            .join(assets, assets.c.id == failures.c.asset_id)
            .where(failures.c.asset_id.in_(list(wanted)), failures.c.generation == assets.c.generation)
            .where(failures.c.index_id.in_(of) if index is None else failures.c.index_id == index)
            .group_by(failures.c.asset_id)
        )
    }
    values = [
        {
            "asset_id": asset.id,
            "index_id": index or "",
            "generation": asset.generation,
            "attempts": earlier.get(asset.id, 0) + 1,
            "token": token,
            "worker": worker,
            "expires_at": moment + lease,
        }
        for asset in wanted.values()
    ]
    new = insert_for(conn)(leases)
    put = new.on_conflict_do_update(
        index_elements=["asset_id", "index_id"],
        set_={
            # A row that is still there is of a worker that fell silent, or that handed it back with its attempt undone.
            "attempts": case(
                (leases.c.generation == new.excluded.generation, leases.c.attempts + 1), else_=new.excluded.attempts
            ),
            **{name: new.excluded[name] for name in ("generation", "token", "worker", "expires_at")},
        },
        where=or_(leases.c.token.is_(None), leases.c.expires_at <= moment),
    ).returning(leases.c.asset_id, leases.c.attempts)
    got = {row.asset_id: row.attempts for row in conn.execute(put, values)}
    held = [asset for asset in wanted.values() if asset.id in got]
    return [Claim(asset=asset, token=token, attempt=got[asset.id], index=index) for asset in held]


def sign_all(conn: Connection, written: Sequence[tuple[Index, Mapping[Claim, int]]]) -> list[dict[AssetId, int | None]]:
    """Port: `Catalogue.sign_all`."""
    if conn.dialect.name == "postgresql":
        # A switch that is being decided counts receipts: those come before it or after it, not meanwhile.
        mine = indexes.c.id.in_([index.id for index, _ in written])
        conn.execute(select(indexes.c.id).where(mine).order_by(indexes.c.id).with_for_update(read=True, key_share=True))
    return [_sign(conn, index, counts) for index, counts in written]


def _sign(conn: Connection, index: Index, written: Mapping[Claim, int]) -> dict[AssetId, int | None]:
    active = exists(select(indexes.c.id)).where(indexes.c.id == index.id, indexes.c.state.in_(rows.ACTIVE))
    refused: dict[AssetId, int | None] = {}
    for chunk in rows.chunks(list(written), 500):
        ids, tokens = [c.asset.id for c in chunk], sorted({c.token for c in chunk})
        holds = (
            select(
                assets.c.id,
                literal(index.id),
                assets.c.generation,
                _by_asset({c.asset.id: written[c] for c in chunk}),
                literal(now(), receipts.c.signed_at.type),
            )
            .join(leases, leases.c.asset_id == assets.c.id)
            .where(
                active,
                assets.c.id.in_(ids),
                assets.c.removed_at.is_(None),
                leases.c.token.in_(tokens),
                leases.c.generation == assets.c.generation,
                assets.c.generation == _by_asset({c.asset.id: c.asset.generation for c in chunk}),
            )
        )
        columns = ["asset_id", "index_id", "generation", "points", "signed_at"]
        new = insert_for(conn)(receipts).from_select(columns, holds)
        put = new.on_conflict_do_update(
            index_elements=columns[:2], set_={name: new.excluded[name] for name in columns[2:]}
        ).returning(receipts.c.asset_id)
        signed = set(conn.execute(put).scalars())
        conn.execute(delete(failures).where(failures.c.asset_id.in_(signed), failures.c.index_id == index.id))
        others = [asset_id for asset_id in ids if asset_id not in signed]
        present = select(assets.c.id, assets.c.generation).where(assets.c.id.in_(others))
        generations: dict[UUID, int] = {row.id: row.generation for row in conn.execute(present)}
        refused |= {asset_id: generations.get(asset_id) for asset_id in others}
    return refused


def _by_asset(numbers: Mapping[AssetId, int]) -> ColumnElement[int]:
    """The number of the asset in the row: most often there is one for all, which costs less to say."""
    first = next(iter(numbers.values()))
    same = all(number == first for number in numbers.values())
    return literal(first) if same else case(numbers, value=assets.c.id)


def _held(claims: Sequence[Claim]) -> Any:
    return and_(
        leases.c.asset_id.in_([c.asset.id for c in claims]), leases.c.token.in_(sorted({c.token for c in claims}))
    )


def finish(conn: Connection, claims: Sequence[Claim]) -> None:
    """Port: `Catalogue.finish`."""
    for chunk in rows.chunks(list(claims), 500):
        conn.execute(delete(leases).where(_held(chunk)))


def renew(conn: Connection, claims: Sequence[Claim], lease: timedelta) -> int:
    """Port: `Catalogue.renew`."""
    current = (
        select(assets.c.id)
        .where(assets.c.id == leases.c.asset_id, assets.c.generation == leases.c.generation)
        .where(assets.c.removed_at.is_(None))
        .exists()
    )
    count = 0
    for chunk in rows.chunks(list(claims), 500):
        put = update(leases).where(_held(chunk), current).values(expires_at=now() + lease)
        count += len(conn.execute(put.returning(leases.c.asset_id)).all())
    return count


def release(conn: Connection, claims: Sequence[Claim]) -> None:
    """Port: `Catalogue.release`."""
    for chunk in rows.chunks(list(claims), 500):
        conn.execute(delete(leases).where(_held(chunk), leases.c.attempts <= 1))
        conn.execute(update(leases).where(_held(chunk)).values(token=None, attempts=leases.c.attempts - 1))


def holders(conn: Connection) -> list[str]:
    """Port: `Catalogue.holders`."""
    held = select(leases.c.worker).where(leases.c.token.is_not(None), leases.c.expires_at > now()).distinct()
    return sorted(conn.execute(held).scalars())


def expire(conn: Connection, worker: str) -> int:
    """Port: `Catalogue.expire`."""
    moment = now()
    dead = update(leases).where(leases.c.worker == worker, leases.c.expires_at > moment, leases.c.token.is_not(None))
    return len(conn.execute(dead.values(expires_at=moment).returning(leases.c.asset_id)).all())


def fail(
    conn: Connection, claim: Claim, kind: str, message: str, retry_in: timedelta | None, index: Index | None = None
) -> None:
    """Port: `Catalogue.fail`."""
    moment = now()
    only = index.id if index is not None else claim.index
    held = (
        select(
            leases.c.asset_id,
            indexes.c.id,
            leases.c.generation,
            literal(kind),
            literal(message),
            leases.c.attempts,
            leases.c.worker,
            literal(moment, failures.c.at.type),
            literal(moment + retry_in if retry_in is not None else None, failures.c.retry_at.type),
        )
        .join(assets, assets.c.id == leases.c.asset_id)
        .join(indexes, indexes.c.collection == assets.c.collection)
        .where(
            leases.c.asset_id == claim.asset.id,
            leases.c.token == claim.token,
            leases.c.generation == assets.c.generation,
            assets.c.removed_at.is_(None),
            _all_that_lack if only is None else indexes.c.id == only,
        )
    )
    _record(conn, held)
    if only is not None:  # what it had of this generation may be half of it by now
        mine = and_(receipts.c.asset_id == claim.asset.id, receipts.c.index_id == only)
        still = exists(failures.select()).where(
            failures.c.asset_id == receipts.c.asset_id,
            failures.c.index_id == receipts.c.index_id,
            failures.c.generation == receipts.c.generation,
        )
        conn.execute(delete(receipts).where(mine, still))
    if index is None:
        finish(conn, [claim])


_all_that_lack = and_(indexes.c.state.in_(rows.ACTIVE), ~rows.signed(indexes.c.id))


def _record(conn: Connection, held: Select[Any]) -> None:
    columns = ["asset_id", "index_id", "generation", "kind", "message", "attempts", "worker", "at", "retry_at"]
    new = insert_for(conn)(failures).from_select(columns, held)
    conn.execute(
        new.on_conflict_do_update(index_elements=columns[:2], set_={name: new.excluded[name] for name in columns[2:]})
    )


def quarantine(conn: Connection, attempts: int) -> list[AssetId]:
    """Port: `Catalogue.quarantine`."""
    moment = now()
    silent = and_(leases.c.token.is_not(None), leases.c.expires_at <= moment, leases.c.attempts >= attempts)
    message = f"{attempts} workers in a row died or fell silent over it: look at the file, then retry it"
    _record(
        conn,
        select(
            leases.c.asset_id,
            indexes.c.id,
            leases.c.generation,
            literal("WorkerLost"),
            literal(message),
            leases.c.attempts,
            leases.c.worker,
            literal(moment, failures.c.at.type),
            literal(None, failures.c.retry_at.type),
        )
        .join(assets, assets.c.id == leases.c.asset_id)
        .join(indexes, indexes.c.collection == assets.c.collection)
        .where(silent, or_(leases.c.index_id == indexes.c.id, and_(leases.c.index_id == "", _all_that_lack))),
    )
    gone = conn.execute(delete(leases).where(silent).returning(leases.c.asset_id)).scalars()
    return list(dict.fromkeys(AssetId(found) for found in gone))


def failed(
    conn: Connection,
    tenant: Tenant,
    collection: str,
    kind: str | None,
    before: datetime | None,
    limit: int,
    asset: AssetId | None = None,
    index: str | None = None,
) -> list[Failure]:
    """Port: `Catalogue.failures`."""
    serving = select(indexes.c.id).where(indexes.c.collection == collection, indexes.c.state == IndexState.SERVING)
    query = (
        select(failures, assets.c.external_id, assets.c.collection, assets.c.tenant)
        .join(assets, and_(assets.c.id == failures.c.asset_id, assets.c.generation == failures.c.generation))
        .where(assets.c.tenant == tenant, assets.c.collection == collection, assets.c.removed_at.is_(None))
        .where(failures.c.index_id == index if index is not None else failures.c.index_id.in_(serving))
        .order_by(failures.c.at.desc(), failures.c.asset_id)
        .limit(limit)
    )
    if kind is not None:
        query = query.where(failures.c.kind == kind)
    if before is not None:
        query = query.where(failures.c.at < before)
    if asset is not None:
        query = query.where(failures.c.asset_id == asset)
    return [rows.failure(row) for row in conn.execute(query)]


def forgive(conn: Connection, tenant: Tenant, collection: str, ids: Sequence[AssetId] | None) -> int:
    """Port: `Catalogue.forgive`."""
    theirs = exists(assets.select()).where(
        assets.c.id == failures.c.asset_id, assets.c.tenant == tenant, assets.c.collection == collection
    )
    strike = delete(failures).where(theirs).returning(failures.c.asset_id)
    if ids is None:
        return len(set(conn.execute(strike).scalars()))
    chunks = rows.chunks(list(set(ids)), 500)
    return sum(len(set(conn.execute(strike.where(failures.c.asset_id.in_(some))).scalars())) for some in chunks)
