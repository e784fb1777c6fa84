"""Statements over receipts, for reconciling the catalogue with an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, delete, select, tuple_

from core.catalogue import rows
from core.catalogue.engine import now
from core.catalogue.tables import assets, receipts
from core.records import Index, Standing
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


def twins(conn: Connection, index: Index, tenant: Tenant, digests: Sequence[Digest]) -> dict[Digest, AssetId]:
    """Port: `Catalogue.twins`."""
    signed_now = and_(receipts.c.asset_id == assets.c.id, receipts.c.generation == assets.c.generation)
    query = select(assets.c.digest, assets.c.id).join(receipts, signed_now)
    out: dict[Digest, AssetId] = {}
    for chunk in rows.chunks(sorted(set(digests)), 500):
        found = query.where(
            receipts.c.index_id == index.id,
            assets.c.tenant == tenant,
            assets.c.collection == index.collection,
            assets.c.removed_at.is_(None),
            assets.c.digest.in_(chunk),
        )
        out |= {Digest(row.digest): AssetId(row.id) for row in conn.execute(found.order_by(assets.c.id.desc()))}
    return out


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
