"""Rows to words, and the conditions that several statements share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, and_, case, exists, or_, select

from core.catalogue.engine import utc
from core.catalogue.tables import assets, failures, indexes, leases, receipts
from core.fields import FieldType
from core.indexes import Tended
from core.records import Collection, Failure, Index, IndexState, State, Storage
from core.spaces import EmbeddingSpace
from core.types import Asset, AssetId, Digest, Modality, Reading, Tenant

T = TypeVar("T")
# Those that assets are written to; that show an asset's state; that must not lack what others have.
ACTIVE = (IndexState.BUILDING, IndexState.VERIFYING, IndexState.SERVING, IndexState.SOAKING)
COMING = (IndexState.BUILDING, IndexState.VERIFYING)
LIVE = (IndexState.SERVING, IndexState.SOAKING)


def chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Runs of at most `size`: databases limit the parameters of one statement."""
    it = iter(items)
    while chunk := list(islice(it, size)):
        yield chunk


def asset(row: Row[Any]) -> Asset:
    """A row of `assets`."""
    return Asset(
        id=AssetId(row.id),
        tenant=Tenant(row.tenant),
        collection=row.collection,
        external_id=row.external_id,
        modality=Modality(row.modality),
        media_type=row.media_type,
        digest=Digest(row.digest),
        size=row.size,
        metadata=row._mapping["metadata"],
        generation=row.generation,
        created_at=utc(row.created_at),
    )


def collection(row: Row[Any]) -> Collection:
    """A row of `collections`."""
    fields = {name: FieldType(kind) for name, kind in row.fields.items()}
    return Collection(
        name=row.name, fields=fields, profile=row.profile, reads=frozenset(Reading(said) for said in row.reads)
    )


def index(row: Row[Any]) -> Index:
    """A row of `indexes`."""
    return Index(
        id=row.id,
        collection=row.collection,
        state=IndexState(row.state),
        spaces=tuple(EmbeddingSpace.from_dict(said) for said in row.spaces),
        fields={name: FieldType(kind) for name, kind in row.fields.items()},
        reads=frozenset(Reading(said) for said in row.reads),
        profile=row.profile,
        storage=Storage.from_dict(row.plan.get("storage", {})),
    )


def failure(row: Row[Any]) -> Failure:
    """A row of `failures` joined with its asset."""
    return Failure(
        asset_id=AssetId(row.asset_id),
        external_id=row.external_id,
        collection=row.collection,
        tenant=Tenant(row.tenant),
        kind=row.kind,
        message=row.message,
        attempts=row.attempts,
        at=utc(row.at),
        retry_at=utc(row.retry_at) if row.retry_at else None,
    )


def tended(row: Row[Any]) -> Tended:
    """A row of `indexes`, and how it is tended."""
    created = utc(row.created_at)
    return Tended(
        index=index(row),
        plan=row.plan,
        note=row.note or "",
        created_at=created,
        changed_at=utc(row.changed_at) if row.changed_at else created,
    )


def signed(index_id: ColumnElement[str] | str) -> ColumnElement[bool]:
    """The index has a receipt for the asset's present generation."""
    found = exists(receipts.select()).where(
        receipts.c.asset_id == assets.c.id,
        receipts.c.index_id == index_id,
        receipts.c.generation == assets.c.generation,
    )
    return found.correlate(assets, indexes)


def has_failed(index_id: ColumnElement[str] | str, waiting_at: datetime | None = None) -> ColumnElement[bool]:
    """A failure of that index stands against the present generation; given a moment, one not yet due to be retried."""
    stands = and_(
        failures.c.asset_id == assets.c.id,
        failures.c.index_id == index_id,
        failures.c.generation == assets.c.generation,
    )
    if waiting_at is not None:
        stands = and_(stands, or_(failures.c.retry_at.is_(None), failures.c.retry_at > waiting_at))
    return exists(failures.select()).where(stands).correlate(assets, indexes)


def lacking(states: Sequence[str], waiting_at: datetime | None = None) -> ColumnElement[bool]:
    """Some index of these states lacks the asset's present generation; given a moment, and may be tried then."""
    query = exists(select(indexes.c.id)).where(
        indexes.c.collection == assets.c.collection, indexes.c.state.in_(states), ~signed(indexes.c.id)
    )
    if waiting_at is not None:
        query = query.where(~has_failed(indexes.c.id, waiting_at))
    return query.correlate(assets)


def failed_in(states: Sequence[str]) -> ColumnElement[bool]:
    """Some index of these states failed to take the asset's present generation."""
    query = exists(select(indexes.c.id)).where(
        indexes.c.collection == assets.c.collection, indexes.c.state.in_(states), has_failed(indexes.c.id)
    )
    return query.correlate(assets)


def leased(moment: datetime, index_id: str | None = None) -> ColumnElement[bool]:
    """A worker holds the asset; given an id, for that index alone, or, when it is empty, for all."""
    live = and_(leases.c.asset_id == assets.c.id, leases.c.token.is_not(None), leases.c.expires_at > moment)
    if index_id is not None:
        live = and_(live, leases.c.index_id == index_id)
    return exists(leases.select()).where(live).correlate(assets)


def abandoned(moment: datetime, index_id: str) -> ColumnElement[bool]:
    """Whoever wrote the asset to that index fell silent: what is there of it nobody knows."""
    dead = and_(
        leases.c.asset_id == assets.c.id,
        leases.c.index_id == index_id,
        leases.c.token.is_not(None),
        leases.c.expires_at <= moment,
    )
    return exists(leases.select()).where(dead).correlate(assets)


def state(moment: datetime) -> ColumnElement[str]:
    """An asset's state in the index that is asked, from what stands in the other tables."""
    serving = exists(select(indexes.c.id)).where(
        indexes.c.collection == assets.c.collection, indexes.c.state == IndexState.SERVING
    )
    return case(
        (and_(serving.correlate(assets), ~lacking([IndexState.SERVING])), str(State.INDEXED)),
        (leased(moment, ""), str(State.WORKING)),
        (failed_in([IndexState.SERVING]), str(State.FAILED)),
        else_=str(State.PENDING),
    )
