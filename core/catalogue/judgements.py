"""Statements over searches that were recorded, and what was said of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, delete, exists, literal, select

from core.catalogue.assets import insert_for
from core.catalogue.engine import now, utc
from core.catalogue.rows import chunks
from core.catalogue.tables import assets, queries, verdicts
from core.desk import Recorded, Verdict
from core.errors import NoSuchAsset, NoSuchQuery
from core.types import AssetId, Tenant

ROWS = 500  # of one statement


def record(conn: Connection, asked: Sequence[Recorded]) -> None:
    """Port: `Desk.record`."""
    for some in chunks(asked, ROWS):
        new = insert_for(conn)(queries).values(
            [
                {
                    "id": one.id,
                    "tenant": one.tenant,
                    "collection": one.collection,
                    "said": dict(one.said),
                    "at": utc(one.at),
                }
                for one in some
            ]
        )
        conn.execute(new.on_conflict_do_nothing())


def judge(conn: Connection, tenant: Tenant, collection: str, query: UUID, asset: AssetId, grade: int) -> None:
    """Port: `Desk.judge`. One statement finds both and writes: neither can go in between."""
    asked = and_(queries.c.id == query, queries.c.tenant == tenant, queries.c.collection == collection)
    there = and_(assets.c.id == asset, assets.c.removed_at.is_(None))
    theirs = and_(assets.c.tenant == queries.c.tenant, assets.c.collection == queries.c.collection)
    new = insert_for(conn)(verdicts).from_select(
        ["query_id", "asset_id", "grade", "at"],
        select(queries.c.id, assets.c.id, literal(grade), literal(now(), verdicts.c.at.type))
        .select_from(queries.join(assets, theirs))
        .where(asked, there),
    )
    put = new.on_conflict_do_update(
        index_elements=["query_id", "asset_id"],
        set_={"grade": new.excluded.grade, "at": new.excluded["at"]},
    ).returning(verdicts.c.query_id)
    if conn.execute(put).one_or_none() is None:
        if conn.execute(select(queries.c.id).where(asked)).one_or_none() is None:
            raise NoSuchQuery
        raise NoSuchAsset(f"{collection.partition('.')[0]!r} has no asset {asset}")


def judged(
    conn: Connection, tenant: Tenant, collection: str, after: UUID | None, limit: int
) -> list[tuple[Recorded, list[Verdict]]]:
    """Port: `Desk.judged`."""
    of = (queries.c.tenant == tenant, queries.c.collection == collection)
    seen = verdicts.join(assets, and_(assets.c.id == verdicts.c.asset_id, assets.c.removed_at.is_(None)))
    held = exists(select(verdicts.c.query_id).select_from(seen).where(verdicts.c.query_id == queries.c.id))
    page = select(queries).where(*of, held.correlate(queries)).order_by(queries.c.id).limit(limit)
    if after is not None:
        page = page.where(queries.c.id > after)
    found = {row.id: _recorded(row) for row in conn.execute(page)}
    out: list[tuple[Recorded, list[Verdict]]] = []
    for some in chunks(list(found), ROWS):
        said = (
            select(verdicts, assets.c.external_id)
            .select_from(seen)
            .where(verdicts.c.query_id.in_(some))
            .order_by(verdicts.c.query_id, assets.c.external_id)
        )
        for query_id, rows in groupby(conn.execute(said), key=lambda row: row.query_id):
            out.append((found[query_id], [_verdict(row) for row in rows]))
    return out


def forget(conn: Connection, before: datetime, tenant: Tenant | None) -> int:
    """Port: `Desk.forget_queries`. The verdicts go with them."""
    old = delete(queries).where(queries.c.at < utc(before))
    if tenant is not None:
        old = old.where(queries.c.tenant == tenant)
    return conn.execute(old).rowcount


def _recorded(row: Row[Any]) -> Recorded:
    return Recorded(
        id=row.id, tenant=Tenant(row.tenant), collection=row.collection, said=row.said, at=utc(row._mapping["at"])
    )


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(
        asset=AssetId(row.asset_id), external_id=row.external_id, grade=row.grade, at=utc(row._mapping["at"])
    )
