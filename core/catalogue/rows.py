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
from core.records import Collection, Failure, Index, IndexState, State
from core.spaces import EmbeddingSpace
from core.types import Asset, AssetId, Digest, Modality, Reading, Tenant

T = TypeVar("T")
ACTIVE = (str(IndexState.BUILDING), str(IndexState.SERVING))  # those that assets are written to


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


def lacks_receipt(states: Sequence[str]) -> ColumnElement[bool]:
    """Some index of these states has no receipt for the asset's present generation."""
    signed = exists(receipts.select()).where(
        receipts.c.asset_id == assets.c.id,
        receipts.c.index_id == indexes.c.id,
        receipts.c.generation == assets.c.generation,
    )
    lacking = exists(select(indexes.c.id)).where(
        indexes.c.collection == assets.c.collection,
        indexes.c.state.in_(states),
        ~signed.correlate(assets, indexes),
    )
    return lacking.correlate(assets)


def leased(moment: datetime) -> ColumnElement[bool]:
    """A worker holds the asset."""
    live = exists(leases.select()).where(
        leases.c.asset_id == assets.c.id, leases.c.token.is_not(None), leases.c.expires_at > moment
    )
    return live.correlate(assets)


def has_failed(waiting_at: datetime | None = None) -> ColumnElement[bool]:
    """A failure stands against the present generation; given a moment, one not yet due to be retried."""
    stands = and_(failures.c.asset_id == assets.c.id, failures.c.generation == assets.c.generation)
    if waiting_at is not None:
        stands = and_(stands, or_(failures.c.retry_at.is_(None), failures.c.retry_at > waiting_at))
    return exists(failures.select()).where(stands).correlate(assets)


def state(moment: datetime) -> ColumnElement[str]:
    """An asset's state, from what stands in the other tables."""
    serving = exists(select(indexes.c.id)).where(
        indexes.c.collection == assets.c.collection, indexes.c.state == IndexState.SERVING
    )
    return case(
        (and_(serving.correlate(assets), ~lacks_receipt([IndexState.SERVING])), str(State.INDEXED)),
        (leased(moment), str(State.WORKING)),
        (has_failed(), str(State.FAILED)),
        else_=str(State.PENDING),
    )
