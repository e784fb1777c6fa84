"""Statements over API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, insert, or_, select, update

from core.catalogue.engine import now, utc
from core.catalogue.tables import api_keys
from core.desk import ApiKey, Quota, Role
from core.errors import NoSuchKey
from core.types import KeyId, Tenant

REVOKED = ""  # in place of a secret's hash, which no secret has


def create(conn: Connection, key: ApiKey, secret_hash: str) -> None:
    """Port: `Desk.create_key`."""
    conn.execute(
        insert(api_keys).values(
            id=key.id,
            tenant=key.tenant,
            name=key.name,
            secret_hash=secret_hash,
            roles=sorted(key.roles),
            queries_per_second=key.quota.queries_per_second,
            assets_per_day=key.quota.assets_per_day,
            bytes_per_day=key.quota.bytes_per_day,
            created_at=utc(key.created_at),
            expires_at=utc(key.expires_at) if key.expires_at else None,
        )
    )


def get(conn: Connection, key_id: KeyId) -> tuple[ApiKey, str] | None:
    """Port: `Desk.key`."""
    valid = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now())
    row = conn.execute(select(api_keys).where(api_keys.c.id == key_id, _of(None), valid)).one_or_none()
    return None if row is None else (_key(row), row.secret_hash)


def listed(conn: Connection, tenant: Tenant | None) -> list[ApiKey]:
    """Port: `Desk.keys`."""
    query = select(api_keys).where(_of(tenant)).order_by(api_keys.c.created_at, api_keys.c.id)
    return [_key(row) for row in conn.execute(query)]


def expire(conn: Connection, key_id: KeyId, tenant: Tenant | None, at: datetime) -> ApiKey:
    """Port: `Desk.expire_key`."""
    moment = utc(at)
    earlier = and_(api_keys.c.expires_at.is_not(None), api_keys.c.expires_at <= moment)
    put = (
        update(api_keys)
        .where(api_keys.c.id == key_id, _of(tenant))
        .values(expires_at=case((earlier, api_keys.c.expires_at), else_=moment))
        .returning(api_keys)
    )
    row = conn.execute(put).one_or_none()
    if row is None:
        raise _unknown(key_id)
    return _key(row)


def revoke(conn: Connection, key_id: KeyId, tenant: Tenant | None) -> None:
    """Port: `Desk.revoke_key`. Of it only that it was there is kept."""
    gone = (
        update(api_keys)
        .where(api_keys.c.id == key_id, _of(tenant))
        .values(secret_hash=REVOKED, name="", roles=[])
        .returning(api_keys.c.id)
    )
    if conn.execute(gone).one_or_none() is None:
        raise _unknown(key_id)


def any_ever(conn: Connection) -> bool:
    """Port: `Desk.keyed`."""
    return bool(conn.execute(select(exists(select(api_keys.c.id)))).scalar_one())


def _of(tenant: Tenant | None) -> ColumnElement[bool]:
    kept = api_keys.c.secret_hash != REVOKED
    return kept if tenant is None else and_(kept, api_keys.c.tenant == tenant)


def _unknown(key_id: KeyId) -> NoSuchKey:
    return NoSuchKey(f"there is no API key {key_id!r}: list the keys that there are")


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=KeyId(row.id),
        tenant=Tenant(row.tenant),
        name=row.name,
        roles=frozenset(Role(role) for role in row.roles),
        quota=Quota(
            queries_per_second=row.queries_per_second,
            assets_per_day=row.assets_per_day,
            bytes_per_day=row.bytes_per_day,
        ),
        created_at=utc(row.created_at),
        expires_at=utc(row.expires_at) if row.expires_at else None,
    )
