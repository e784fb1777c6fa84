"""Indexes and their states: each change of state is one conditional statement, a switch one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, func, or_, select, update

from core.catalogue import rows
from core.catalogue.assets import insert_for
from core.catalogue.engine import now
from core.catalogue.tables import assets, calibrations, collections, failures, indexes, leases, receipts
from core.errors import Conflict, NoSuchCollection
from core.indexes import Coverage, Share, Tended
from core.records import Index, IndexState
from core.types import AssetId, Modality, Tenant

SHOWN = 5  # names that a refusal lists
MINUTE = timedelta(minutes=1)
# Said once: every search asks for the index that serves, and to build a statement costs as much as to run it.
_OF_COLLECTION = (
    select(indexes)
    .where(indexes.c.collection == bindparam("collection"), indexes.c.state.in_(bindparam("states", expanding=True)))
    .order_by(indexes.c.created_at, indexes.c.id)
)
_SERVING = select(indexes).where(indexes.c.collection == bindparam("collection"), indexes.c.state == IndexState.SERVING)


def create(conn: Connection, index: Index, plan: Mapping[str, Any]) -> Index:
    """Port: `Catalogue.create_index`."""
    profile = select(collections.c.profile).where(collections.c.name == index.collection).scalar_subquery()
    new = insert_for(conn)(indexes).values(
        id=index.id,
        collection=index.collection,
        state=str(index.state),
        spaces=[space.as_dict() for space in index.spaces],
        fields={name: str(kind) for name, kind in index.fields.items()},
        reads=sorted(index.reads),
        profile=index.profile or profile,
        plan={**plan, "storage": index.storage.as_dict()},
        created_at=now(),
    )
    conn.execute(new.on_conflict_do_nothing(index_elements=["id"]))
    return rows.index(conn.execute(select(indexes).where(indexes.c.id == index.id)).one())


def of_collection(conn: Connection, collection: str, states: Collection[IndexState]) -> list[Tended]:
    """Port: `Catalogue.tended`, by age."""
    said = {"collection": collection, "states": list(states)}
    return [rows.tended(row) for row in conn.execute(_OF_COLLECTION, said)]


def serving(conn: Connection, collection: str) -> Index | None:
    """The one that searches read, if there is one."""
    row = conn.execute(_SERVING, {"collection": collection}).one_or_none()
    return None if row is None else rows.index(row)


def advance(conn: Connection, index_id: str, of: Collection[IndexState], to: IndexState, note: str | None) -> Tended:
    """Port: `Catalogue.advance`."""
    put = (
        update(indexes)
        .where(indexes.c.id == index_id, indexes.c.state.in_(list(of)))
        .values(state=str(to), note=note, changed_at=now())
        .returning(*indexes.c)
    )
    row = conn.execute(put).one_or_none()
    if row is None:
        is_now = conn.execute(select(indexes.c.state).where(indexes.c.id == index_id)).scalar_one_or_none()
        if is_now is None:
            raise NoSuchCollection(f"there is no index {index_id!r}")
        raise Conflict(f"index {index_id!r} is {_spelt(is_now)}, not {' or '.join(_spelt(state) for state in of)}")
    return rows.tended(row)


def _spelt(state: str) -> str:
    return state.replace("_", " ")


def revise(conn: Connection, index_id: str, changes: Mapping[str, Any], given: Mapping[str, Any]) -> Tended:
    """Port: `Catalogue.revise`."""
    query = select(indexes).where(indexes.c.id == index_id)
    row = conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()
    if row is None:
        raise NoSuchCollection(f"there is no index {index_id!r}")
    if any(row.plan.get(key) != value for key, value in given.items()):
        raise Conflict(f"the plan of index {index_id!r} was changed meanwhile: look again")
    put = update(indexes).where(indexes.c.id == index_id).values(plan={**row.plan, **changes}).returning(*indexes.c)
    return rows.tended(conn.execute(put).one())


def clear(conn: Connection, index_id: str) -> int:
    """Port: `Catalogue.clear_index`."""
    for table in (failures, leases, calibrations):
        conn.execute(delete(table).where(table.c.index_id == index_id))
    return conn.execute(delete(receipts).where(receipts.c.index_id == index_id)).rowcount


def pardon(conn: Connection, index_id: str) -> int:
    """Port: `Catalogue.pardon`."""
    return conn.execute(delete(failures).where(failures.c.index_id == index_id)).rowcount


def _lost(of: str, to: str) -> Select[Any]:
    """Assets that one index has and the other has not: in their present generation, or, while that one waits or has
    failed, in any, for they are found by it."""
    found = or_(and_(rows.signed(of), ~rows.signed(to)), and_(_in_any(of), ~_in_any(to)))
    return select(assets).where(assets.c.removed_at.is_(None), found)


def _in_any(index_id: str) -> ColumnElement[bool]:
    there = exists(receipts.select()).where(receipts.c.asset_id == assets.c.id, receipts.c.index_id == index_id)
    return there.correlate(assets)


def uncovered(conn: Connection, of: str, to: str, limit: int) -> tuple[int, list[tuple[str, str]]]:
    """Port: `Catalogue.uncovered`."""
    collection = select(indexes.c.collection).where(indexes.c.id == of).scalar_subquery()
    lost = _lost(of, to).where(assets.c.collection == collection)
    count: int = conn.execute(select(func.count()).select_from(lost.subquery())).scalar_one()
    if not count:
        return 0, []
    why = and_(failures.c.asset_id == assets.c.id, failures.c.index_id == to)
    why = and_(why, failures.c.generation == assets.c.generation)
    some = lost.join(failures, why, isouter=True).add_columns(failures.c.kind, failures.c.message)
    found = conn.execute(some.order_by(assets.c.external_id, assets.c.id).limit(limit))
    return count, [(row.external_id, f"{row.kind}: {row.message}" if row.kind else "not written yet") for row in found]


def exchange(
    conn: Connection,
    coming: str,
    of: Collection[IndexState],
    leaving: IndexState,
    note: str | None,
    forced: bool,
) -> tuple[Tended, Tended]:
    """Port: `Catalogue.exchange`."""
    query = select(indexes).where(indexes.c.id == coming)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NoSuchCollection(f"there is no index {coming!r}")
    both = select(indexes).where(
        indexes.c.collection == row.collection,
        or_(indexes.c.id == coming, indexes.c.state == IndexState.SERVING),
    )
    if conn.dialect.name == "postgresql":  # SQLite lets one write at a time
        both = both.order_by(indexes.c.id).with_for_update()
    found = {each.id: each for each in conn.execute(both)}
    row = found.pop(coming)
    if row.state not in of:
        raise Conflict(f"index {coming!r} is {_spelt(row.state)}, not {' or '.join(_spelt(state) for state in of)}")
    serving = next((each for each in found.values() if each.state == IndexState.SERVING), None)
    if serving is None:
        raise Conflict(f"collection {row.collection!r} serves from another index by now: look at its status")
    if not forced:
        _nothing_is_lost(conn, serving.id, coming)
    moment = now()
    for index_id, state, why in ((serving.id, leaving, note), (coming, IndexState.SERVING, note)):  # never two serve
        put = update(indexes).where(indexes.c.id == index_id)
        conn.execute(put.values(state=str(state), note=why, changed_at=moment))
    declared = {"profile": row.profile, "fields": row.fields}
    conn.execute(update(collections).where(collections.c.name == row.collection).values(**declared))
    now_is = {each.id: each for each in conn.execute(select(indexes).where(indexes.c.id.in_([serving.id, coming])))}
    return rows.tended(now_is[coming]), rows.tended(now_is[serving.id])


def _nothing_is_lost(conn: Connection, serving: str, coming: str) -> None:
    count, some = uncovered(conn, serving, coming, SHOWN)
    if count:
        said = "; ".join(f"{name} ({why[:200]})" for name, why in some)
        raise Conflict(
            f"{count} assets that are found now would be found no more: {said}{'; ...' if count > len(some) else ''}. "
            "Wait for them, retry them, or force it and say why"
        )
    held = exists(leases.select()).where(leases.c.index_id == coming, leases.c.token.is_not(None))
    if conn.execute(select(held)).scalar_one():
        raise Conflict(f"index {coming!r} is being written by a worker, or by one that died: let the build end first")


def coverage(conn: Connection, index: Index) -> Coverage:
    """Port: `Catalogue.coverage`."""
    present = select(func.count()).where(assets.c.collection == index.collection, assets.c.removed_at.is_(None))
    current = and_(assets.c.id == receipts.c.asset_id, assets.c.generation == receipts.c.generation)
    held = select(func.count()).select_from(receipts.join(assets, current)).where(receipts.c.index_id == index.id)
    standing = and_(assets.c.id == failures.c.asset_id, assets.c.generation == failures.c.generation)
    failed = (
        select(failures.c.kind, func.count(), func.count(failures.c.retry_at))
        .select_from(failures.join(assets, standing))
        .where(failures.c.index_id == index.id, assets.c.removed_at.is_(None))
        .group_by(failures.c.kind)
    )
    in_hand = select(func.count()).where(
        leases.c.index_id == index.id, leases.c.token.is_not(None), leases.c.expires_at > now()
    )
    lately = select(func.count()).where(receipts.c.index_id == index.id, receipts.c.signed_at > now() - MINUTE)
    found = conn.execute(failed).all()
    kinds: dict[str, int] = {row[0]: row[1] for row in found}
    return Coverage(
        present=conn.execute(present).scalar_one(),
        held=conn.execute(held).scalar_one(),
        failed=sum(kinds.values()),
        in_hand=conn.execute(in_hand).scalar_one(),
        lately=conn.execute(lately).scalar_one(),
        retrying=sum(row[2] for row in found),
        failures=kinds,
    )


def census(conn: Connection, index_id: str) -> list[Share]:
    """Port: `Catalogue.census`."""
    current = and_(assets.c.id == receipts.c.asset_id, assets.c.generation == receipts.c.generation)
    by = (assets.c.tenant, assets.c.modality)
    query = (
        select(*by, func.count().label("assets"), func.coalesce(func.sum(receipts.c.points), 0).label("points"))
        .select_from(receipts.join(assets, current))
        .where(receipts.c.index_id == index_id, assets.c.removed_at.is_(None))
        .group_by(*by)
        .order_by(*by)
    )
    return [
        Share(tenant=Tenant(row.tenant), modality=Modality(row.modality), assets=row.assets, points=int(row.points))
        for row in conn.execute(query)
    ]


def having(conn: Connection, index_id: str, ids: Sequence[AssetId]) -> set[AssetId]:
    """Port: `Catalogue.having`."""
    out: set[AssetId] = set()
    for some in rows.chunks(list(ids), 500):
        query = select(assets.c.id).where(assets.c.id.in_(some), rows.signed(index_id))
        out |= {AssetId(found) for found in conn.execute(query).scalars()}
    return out
