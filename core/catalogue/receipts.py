"""Statements over receipts, for reconciling the catalogue with an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, delete, func, or_, select, tuple_

from core.catalogue import rows
from core.catalogue.engine import now
from core.catalogue.tables import assets, indexes, receipts
from core.records import Index, IndexState, Standing
from core.types import AssetId, Digest, Tenant


def standings(conn: Connection, index: Index, ids: Sequence[AssetId]) -> list[Standing]:
    """Port: `Catalogue.standings`."""
    out: list[Standing] = []
    theirs = and_(receipts.c.asset_id == assets.c.id, receipts.c.index_id == index.id)
    for chunk in rows.chunks(list(ids), 500):
        query = (
            select(
                assets,
                receipts.c.generation.label("signed"),
                receipts.c.points,
                rows.leased(now()).label("leased"),
            )
            .join(receipts, theirs, isouter=True)
            .where(assets.c.id.in_(chunk))
        )
        out += [
            Standing(
                asset=rows.asset(row),
                removed=row.removed_at is not None,
                leased=row.leased,
                generation=row.signed,
                points=row.points or 0,
            )
            for row in conn.execute(query)
        ]
    return out


def twins(
    conn: Connection, index: Index, tenant: Tenant, digests: Sequence[Digest]
) -> dict[Digest, tuple[Index, AssetId]]:
    """Port: `Catalogue.twins`."""
    signed_now = and_(receipts.c.asset_id == assets.c.id, receipts.c.generation == assets.c.generation)
    which = assets.c.digest, receipts.c.index_id
    nth = func.row_number().over(partition_by=which, order_by=assets.c.id).label("nth")
    query = (
        select(*which, assets.c.id, nth).join(receipts, signed_now).join(indexes, indexes.c.id == receipts.c.index_id)
    )
    alike = {index.id: index}
    out: dict[Digest, tuple[Index, AssetId]] = {}
    for chunk in rows.chunks(sorted(set(digests)), 500):
        there = query.where(
            or_(receipts.c.index_id == index.id, indexes.c.state == IndexState.SERVING),
            assets.c.tenant == tenant,
            assets.c.removed_at.is_(None),
            assets.c.digest.in_(chunk),
        ).subquery()
        found = conn.execute(select(there).where(there.c.nth == 1).order_by(there.c.index_id)).all()
        others = {row.index_id for row in found} - alike.keys()
        for row in conn.execute(select(indexes).where(indexes.c.id.in_(others))) if others else ():
            other = rows.index(row)
            if _alike(index, other):
                alike[other.id] = other
        for row in found:
            if row.index_id in alike and (row.index_id == index.id or row.digest not in out):
                out[Digest(row.digest)] = alike[row.index_id], AssetId(row.id)
    return out


def _alike(one: Index, other: Index) -> bool:
    """Whether equal content has equal vectors in both."""
    return one.reads == other.reads and {s.fingerprint for s in one.spaces} == {s.fingerprint for s in other.spaces}


def signed(
    conn: Connection, index: Index, after: AssetId | None, limit: int, tenant: Tenant | None
) -> list[tuple[AssetId, int, int]]:
    """Port: `Catalogue.signed`."""
    query = select(receipts.c.asset_id, receipts.c.generation, receipts.c.points).where(receipts.c.index_id == index.id)
    if after is not None:
        query = query.where(receipts.c.asset_id > after)
    if tenant is not None:
        query = query.join(assets, assets.c.id == receipts.c.asset_id).where(assets.c.tenant == tenant)
    found = conn.execute(query.order_by(receipts.c.asset_id).limit(limit))
    return [(AssetId(row.asset_id), row.generation, row.points) for row in found]


def strike(conn: Connection, index: Index, wrong: Mapping[AssetId, int]) -> int:
    """Port: `Catalogue.strike`."""
    struck = 0
    for chunk in rows.chunks(list(wrong.items()), 500):
        gone = delete(receipts).where(
            receipts.c.index_id == index.id, tuple_(receipts.c.asset_id, receipts.c.generation).in_(chunk)
        )
        struck += len(conn.execute(gone.returning(receipts.c.asset_id)).all())
    return struck
