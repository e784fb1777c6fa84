"""Statements of erasing: what is begun, what is deleted with it, and the chain of receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, Select, and_, delete, insert, select, text, update

from core.catalogue import rows
from core.catalogue.assets import unused
from core.catalogue.engine import now, utc
from core.catalogue.tables import assets, erasing, erasing_assets, erasures, failures, leases, receipts, superseded
from core.erasing import Erasing, Erasure, Order, Target, broken, sealed
from core.errors import Conflict
from core.types import AssetId, Digest, Tenant

MANY = 500  # rows a statement


def begin(
    conn: Connection, tenant: Tenant, collection: str, order: Order, worker: str, lease: timedelta, most: int
) -> list[Erasing]:
    """Port: `Erasures.begin_erasing`. Rows by growing id, so that two who begin at once never wait in a ring."""
    moment, token = now(), uuid4().hex
    targets: list[Target] = []
    below = {target.asset: target.generation for target in order.gone}  # a row of a later one came in after that
    theirs = and_(assets.c.tenant == tenant, assets.c.collection == collection)
    wanted = {*order.ids, *below}
    for names in rows.chunks(sorted(set(order.names)), MANY):
        wanted |= set(conn.execute(select(assets.c.id).where(theirs, assets.c.external_id.in_(names))).scalars())
    for chunk in rows.chunks(sorted(wanted), MANY):
        mine = and_(assets.c.id.in_(chunk), theirs)
        held = conn.execute(select(assets).where(mine).order_by(assets.c.id).with_for_update()).all()
        held = [row for row in held if row.generation < below.get(row.id, row.generation + 1)]
        fresh = [row.id for row in held if row.removed_at is None]
        conn.execute(
            update(assets).where(assets.c.id.in_(fresh)).values(removed_at=moment, generation=assets.c.generation + 1)
        )
        conn.execute(delete(receipts).where(receipts.c.asset_id.in_(fresh)))
        conn.execute(delete(failures).where(failures.c.asset_id.in_(fresh)))
        targets += [
            Target(
                asset=AssetId(row.id),
                external_id=row.external_id,
                digest=Digest(row.digest),
                generation=max(row.generation + (row.removed_at is None), below.get(row.id, 0)),
            )
            for row in held
        ]
    known = {target.asset for target in targets}
    targets += [target for target in order.gone if target.asset not in known]
    runs = list(rows.chunks(targets, most)) or [[]]
    begun = [
        Erasing(
            id=uuid4(),
            tenant=tenant,
            collection=collection,
            targets=tuple(run),
            # What is of no single asset goes with the last: by then their rows are gone.
            names=tuple(order.names) if last else (),
            whole=order.whole and last,
            asked=dict(order.asked),
            found=None,
            token=token,
            worker=worker,
            expires_at=moment + lease,
            begun_at=moment,
        )
        for run, last in ((run, at == len(runs) - 1) for at, run in enumerate(runs))
    ]
    for number, each in enumerate(begun):
        _insert(conn, each, number)
    return begun


def _insert(conn: Connection, begun: Erasing, number: int) -> None:
    conn.execute(
        insert(erasing).values(
            id=begun.id,
            number=number,
            tenant=begun.tenant,
            collection=begun.collection,
            names=list(begun.names),
            whole=begun.whole,
            asked=dict(begun.asked),
            token=begun.token,
            worker=begun.worker,
            expires_at=begun.expires_at,
            begun_at=begun.begun_at,
        )
    )
    for some in rows.chunks(begun.targets, MANY):
        conn.execute(
            insert(erasing_assets).values(
                [
                    {
                        "erasing_id": begun.id,
                        "asset_id": target.asset,
                        "external_id": target.external_id,
                        "digest": target.digest,
                        "generation": target.generation,
                    }
                    for target in some
                ]
            )
        )


def open_ones(conn: Connection) -> list[Erasing]:
    """Port: `Erasures.erasings`."""
    query = select(erasing).order_by(erasing.c.begun_at, erasing.c.number, erasing.c.id)
    return [_erasing(conn, row) for row in conn.execute(query).all()]


def _erasing(conn: Connection, row: Row[Any]) -> Erasing:
    theirs = select(erasing_assets).where(erasing_assets.c.erasing_id == row.id).order_by(erasing_assets.c.asset_id)
    return Erasing(
        id=row.id,
        tenant=Tenant(row.tenant),
        collection=row.collection,
        targets=tuple(
            Target(
                asset=AssetId(one.asset_id),
                external_id=one.external_id,
                digest=Digest(one.digest),
                generation=one.generation,
            )
            for one in conn.execute(theirs)
        ),
        names=tuple(row.names),
        whole=row.whole,
        asked=row.asked,
        found=row.found,
        token=row.token,
        worker=row.worker,
        expires_at=utc(row.expires_at),
        begun_at=utc(row.begun_at),
    )


def hold(conn: Connection, begun: Erasing, worker: str, lease: timedelta) -> Erasing | None:
    """Port: `Erasures.hold_erasing`."""
    take = (
        update(erasing)
        .where(erasing.c.id == begun.id, erasing.c.token == begun.token)
        .values(token=uuid4().hex, worker=worker, expires_at=now() + lease)
        .returning(erasing)
    )
    row = conn.execute(take).one_or_none()
    return None if row is None else _erasing(conn, row)


def note(conn: Connection, begun: Erasing, found: Mapping[str, Sequence[str]]) -> Erasing:
    """Port: `Erasures.note_erasing`."""
    mine = and_(erasing.c.id == begun.id, erasing.c.found.is_(None))
    conn.execute(update(erasing).where(mine).values(found={name: list(ids) for name, ids in found.items()}))
    row = conn.execute(select(erasing).where(erasing.c.id == begun.id)).one_or_none()
    return begun if row is None else _erasing(conn, row)


def busy(conn: Connection, ids: Sequence[AssetId]) -> list[AssetId]:
    """Port: `Erasures.busy`."""
    out: set[UUID] = set()
    for chunk in rows.chunks(list(ids), MANY):
        live = and_(leases.c.asset_id.in_(chunk), leases.c.token.is_not(None), leases.c.expires_at > now())
        out |= set(conn.execute(select(leases.c.asset_id).where(live)).scalars())
    return [AssetId(one) for one in sorted(out)]


def purge(conn: Connection, begun: Erasing) -> list[Digest]:
    """Port: `Erasures.purge_erased`. A row of a later generation has come back, and stays."""
    for target in begun.targets:
        gone = and_(
            assets.c.id == target.asset, assets.c.generation <= target.generation, assets.c.removed_at.is_not(None)
        )
        conn.execute(delete(assets).where(gone))
    return unused(conn, {target.digest for target in begun.targets})


def end(conn: Connection, begun: Erasing, receipt: Mapping[str, Any], label: str) -> Erasure | None:
    """Port: `Erasures.end_erasing`."""
    gone = delete(erasing).where(erasing.c.id == begun.id, erasing.c.token == begun.token).returning(erasing.c.id)
    if conn.execute(gone).one_or_none() is None:
        return None
    _alone(conn)
    made = sealed(last(conn), begun.tenant, label, receipt, now())
    append(conn, made)
    return made


def _alone(conn: Connection) -> None:
    """One writer of the chain at a time; SQLite has one of everything."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE erasures IN SHARE ROW EXCLUSIVE MODE"))


def append(conn: Connection, made: Erasure) -> None:
    """A receipt as it is."""
    conn.execute(
        insert(erasures).values(
            number=made.number,
            tenant=made.tenant,
            collection=made.collection,
            receipt=dict(made.receipt),
            previous=made.previous,
            hash=made.hash,
            at=made.at,
        )
    )


def last(conn: Connection) -> Erasure | None:
    """Port: `Erasures.last_erasure`."""
    row = conn.execute(select(erasures).order_by(erasures.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else _erasure(row)


def listed(conn: Connection, tenant: Tenant | None, after: int, limit: int) -> list[Erasure]:
    """Port: `Erasures.erasures`."""
    query: Select[Any] = select(erasures).where(erasures.c.number > after).order_by(erasures.c.number).limit(limit)
    if tenant is not None:
        query = query.where(erasures.c.tenant == tenant)
    return [_erasure(row) for row in conn.execute(query)]


def rejoin(conn: Connection, lost: Sequence[tuple[Erasure, str]]) -> None:
    """Port: `Erasures.rejoin_erasures`."""
    _alone(conn)
    wrong = broken([each for each, _ in lost], last(conn))
    if wrong is not None:
        raise Conflict(f"these receipts do not go on where the catalogue's end: {wrong}")
    for each, collection in lost:
        append(conn, each)
        begin(conn, each.tenant, collection, each.again(), "nobody", timedelta(0), MANY)


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        number=row.number,
        tenant=Tenant(row.tenant),
        collection=row.collection,
        receipt=row.receipt,
        at=utc(row.at),
        previous=row.previous,
        hash=row.hash,
    )


def replaced(conn: Connection, limit: int) -> dict[Digest, datetime]:
    """Port: `Erasures.superseded`. Those that are in use go with what uses them, and are forgotten here."""
    found = {
        Digest(row.digest): row.at
        for row in conn.execute(select(superseded).order_by(superseded.c.at, superseded.c.digest).limit(limit))
    }
    free = set(unused(conn, found))
    settle(conn, {digest: at for digest, at in found.items() if digest not in free})
    return {digest: at for digest, at in found.items() if digest in free}


def settle(conn: Connection, gone: Mapping[Digest, datetime]) -> None:
    """Port: `Erasures.settle_superseded`."""
    for digest, at in gone.items():
        conn.execute(delete(superseded).where(superseded.c.digest == digest, superseded.c.at == at))
