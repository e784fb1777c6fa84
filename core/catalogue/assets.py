"""Statements that register, read, remove and purge assets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, case, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from core.catalogue import rows
from core.catalogue.engine import now
from core.catalogue.tables import assets, erasing_assets, failures, jobs, receipts, superseded
from core.errors import NoSuchAsset
from core.records import Draft, Outcome, State
from core.types import Asset, AssetId, Digest, Tenant

KEYS = 5000  # looked up at once
BATCH = 100  # rows a statement: SQLite allows 32,766 parameters, PostgreSQL 65,535


def insert_for(conn: Connection) -> Callable[..., Any]:
    """The dialect's `insert`, which knows ON CONFLICT; both spell it alike."""
    return postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert


def register(
    conn: Connection, tenant: Tenant, collection: str, drafts: Sequence[Draft]
) -> list[tuple[AssetId, Outcome]]:
    """Port: `Catalogue.register`. Of drafts with one external id the last counts."""
    latest = {draft.external_id: draft for draft in drafts}
    said: dict[str, tuple[AssetId, Outcome]] = {}
    for chunk in rows.chunks(sorted(latest.values(), key=lambda d: d.external_id), BATCH):
        said |= _register(conn, tenant, collection, chunk)
    return [said[draft.external_id] for draft in drafts]


def _register(
    conn: Connection, tenant: Tenant, collection: str, drafts: Sequence[Draft]
) -> dict[str, tuple[AssetId, Outcome]]:
    moment = now()
    before = _digests(conn, tenant, collection, [draft.external_id for draft in drafts])
    values = [
        {
            "id": uuid4(),
            "tenant": tenant,
            "collection": collection,
            "external_id": draft.external_id,
            "modality": str(draft.modality),
            "media_type": draft.media_type,
            "digest": draft.digest,
            "size": draft.size,
            "metadata": dict(draft.metadata),
            "generation": 1,
            "created_at": moment,
            "changed_at": moment,
        }
        for draft in drafts
    ]
    new = insert_for(conn)(assets)
    differs = [assets.c[name] != new.excluded[name] for name in ("digest", "media_type", "modality", "metadata")]
    taken = ("digest", "media_type", "modality", "metadata", "size", "changed_at")
    put = new.on_conflict_do_update(
        index_elements=["tenant", "collection", "external_id"],
        set_={name: new.excluded[name] for name in taken} | {"generation": assets.c.generation + 1, "removed_at": None},
        where=or_(assets.c.removed_at.is_not(None), *differs),
    ).returning(assets.c.id, assets.c.external_id, assets.c.generation)
    said = {
        row.external_id: (AssetId(row.id), Outcome.ADDED if row.generation == 1 else Outcome.CHANGED)
        for row in conn.execute(put, values)
    }
    _supersede(conn, {before[d.external_id] for d in drafts if before.get(d.external_id, d.digest) != d.digest})
    same = [draft.external_id for draft in drafts if draft.external_id not in said]
    found = select(assets.c.id, assets.c.external_id).where(
        assets.c.tenant == tenant, assets.c.collection == collection, assets.c.external_id.in_(same)
    )
    return said | {row.external_id: (AssetId(row.id), Outcome.UNCHANGED) for row in conn.execute(found)}


def _digests(conn: Connection, tenant: Tenant, collection: str, names: Sequence[str]) -> dict[str, str]:
    """Which bytes assets have before they are replaced, by external id; held, so that nobody replaces them between."""
    query = select(assets.c.external_id, assets.c.digest).where(
        assets.c.tenant == tenant, assets.c.collection == collection, assets.c.external_id.in_(names)
    )
    found = conn.execute(query.order_by(assets.c.external_id).with_for_update())
    return {row.external_id: row.digest for row in found}


def _supersede(conn: Connection, digests: Collection[str]) -> None:
    """Bytes that an asset had: whoever sweeps erases them unless they are used."""
    if digests:
        new = insert_for(conn)(superseded).values([{"digest": each, "at": now()} for each in sorted(digests)])
        conn.execute(new.on_conflict_do_update(index_elements=["digest"], set_={"at": new.excluded.at}))


def get(conn: Connection, tenant: Tenant, collection: str, key: AssetId | str) -> Asset:
    """Port: `Catalogue.asset`."""
    by = assets.c.id == key if isinstance(key, UUID) else assets.c.external_id == key
    row = conn.execute(_present(tenant, collection).where(by)).one_or_none()
    if row is None:
        raise NoSuchAsset(f"{collection!r} has no asset {str(key)!r}: `quiver status` shows what there is")
    return rows.asset(row)


def _present(tenant: Tenant, collection: str) -> Any:
    return select(assets).where(
        assets.c.tenant == tenant, assets.c.collection == collection, assets.c.removed_at.is_(None)
    )


def page(conn: Connection, tenant: Tenant, collection: str, after: str | None, limit: int) -> list[tuple[Asset, State]]:
    """Port: `Catalogue.assets`."""
    query = _present(tenant, collection).add_columns(rows.state(now()).label("state"))
    if after is not None:
        query = query.where(assets.c.external_id > after)
    query = query.order_by(assets.c.external_id).limit(limit)
    return [(rows.asset(row), State(row.state)) for row in conn.execute(query)]


def find(conn: Connection, tenant: Tenant, collection: str, keys: Sequence[str]) -> dict[str, AssetId]:
    """Port: `Catalogue.find`."""
    out: dict[str, AssetId] = {}
    by_id = {key: UUID(key) for key in keys if _is_id(key)}
    for chunk in rows.chunks(sorted(set(by_id.values())), KEYS):
        query = _present(tenant, collection).with_only_columns(assets.c.id).where(assets.c.id.in_(chunk))
        there = set(conn.execute(query).scalars())
        out |= {key: AssetId(asset) for key, asset in by_id.items() if asset in there}
    for names in rows.chunks(sorted({key for key in keys if key not in out}), KEYS):
        named = _present(tenant, collection).with_only_columns(assets.c.external_id, assets.c.id)
        for row in conn.execute(named.where(assets.c.external_id.in_(names))):
            out[row.external_id] = AssetId(row.id)
    return out


def _is_id(key: str) -> bool:
    if len(key) not in (32, 36):
        return False
    try:
        UUID(key)
    except ValueError:
        return False
    return True


def newest(
    conn: Connection, tenant: Tenant, collection: str, before: tuple[datetime, AssetId] | None, limit: int
) -> list[Asset]:
    """Port: `Catalogue.newest`."""
    query = _present(tenant, collection)
    if before is not None:
        query = query.where(tuple_(assets.c.created_at, assets.c.id) < before)
    query = query.order_by(assets.c.created_at.desc(), assets.c.id.desc()).limit(limit)
    return [rows.asset(row) for row in conn.execute(query)]


def state(conn: Connection, asset_id: AssetId) -> State:
    """Port: `Catalogue.state`."""
    said: str = conn.execute(select(rows.state(now())).where(assets.c.id == asset_id)).scalar_one()
    return State(said)


def counts(conn: Connection, tenant: Tenant, collection: str) -> dict[State, int]:
    """Port: `Catalogue.counts`."""
    each = _present(tenant, collection).with_only_columns(rows.state(now()).label("state")).subquery()
    query = select(each.c.state, func.count()).group_by(each.c.state)
    said: dict[str, int] = {row[0]: row[1] for row in conn.execute(query)}
    return {state: said.get(state, 0) for state in State}


def remove(conn: Connection, tenant: Tenant, collection: str, ids: Sequence[AssetId]) -> int:
    """Port: `Catalogue.remove`."""
    gone: list[UUID] = []
    for chunk in rows.chunks(list(ids), 1000):
        mark = (
            update(assets)
            .where(
                assets.c.id.in_(chunk),
                assets.c.tenant == tenant,
                assets.c.collection == collection,
                assets.c.removed_at.is_(None),
            )
            .values(removed_at=now(), generation=assets.c.generation + 1)
            .returning(assets.c.id)
        )
        marked = [row.id for row in conn.execute(mark)]
        conn.execute(delete(receipts).where(receipts.c.asset_id.in_(marked)))
        conn.execute(delete(failures).where(failures.c.asset_id.in_(marked)))
        gone += marked
    return len(gone)


def removed(conn: Connection, limit: int) -> list[Asset]:
    """Port: `Catalogue.removed`. What is being erased is left to who does it: its vectors are looked at first."""
    erased = exists(erasing_assets.select()).where(erasing_assets.c.asset_id == assets.c.id).correlate(assets)
    query = (
        select(assets)
        .where(assets.c.removed_at.is_not(None), ~rows.leased(now()), ~erased)
        .order_by(assets.c.removed_at)
        .limit(limit)
    )
    return [rows.asset(row) for row in conn.execute(query)]


def purge(conn: Connection, gone: Sequence[Asset]) -> list[Digest]:
    """Port: `Catalogue.purge`."""
    digests: set[str] = set()
    for chunk in rows.chunks(list(gone), 500):
        still = case({a.id: a.generation for a in chunk}, value=assets.c.id)
        drop = (
            delete(assets)
            .where(
                assets.c.id.in_([a.id for a in chunk]), assets.c.generation == still, assets.c.removed_at.is_not(None)
            )
            .returning(assets.c.digest)
        )
        digests |= {row.digest for row in conn.execute(drop)}
    return unused(conn, digests)


def uses(conn: Connection, digest: Digest) -> bool:
    """Port: `Catalogue.uses`."""
    return not unused(conn, {digest})


def holds(conn: Connection, tenant: Tenant, digest: Digest) -> bool:
    """Port: `Catalogue.holds`."""
    its = select(assets.c.id).where(assets.c.digest == digest, assets.c.tenant == tenant, assets.c.removed_at.is_(None))
    return conn.execute(its.limit(1)).first() is not None


def unused(conn: Connection, digests: Collection[str]) -> list[Digest]:
    """Those that no asset has, removed ones included, and no job."""
    used: set[str] = set()
    for some in rows.chunks(sorted(digests), 1000):
        for table in (assets, jobs):
            used |= set(conn.execute(select(table.c.digest).where(table.c.digest.in_(some))).scalars())
    return [Digest(d) for d in sorted(set(digests) - used)]
