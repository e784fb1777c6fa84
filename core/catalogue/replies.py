"""Statements over replies to requests that may come twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from core.catalogue.assets import insert_for
from core.catalogue.engine import now, utc
from core.catalogue.tables import replies
from core.desk import Reply
from core.types import Tenant


def begin(conn: Connection, tenant: Tenant, key: str, fingerprint: str, lease: timedelta) -> Reply | None:
    """Port: `Desk.begin_reply`. One that was abandoned is taken over by the same request."""
    moment = now()
    new = insert_for(conn)(replies).values(
        tenant=tenant, key=key, fingerprint=fingerprint, begun_at=moment, expires_at=moment + lease
    )
    put = new.on_conflict_do_update(
        index_elements=["tenant", "key"],
        set_={name: new.excluded[name] for name in ("begun_at", "expires_at")},
        where=and_(
            replies.c.status.is_(None),
            replies.c.expires_at <= moment,
            replies.c.fingerprint == new.excluded.fingerprint,
        ),
    ).returning(replies.c.key)
    if conn.execute(put).one_or_none() is not None:
        return None
    # The statement above has locked the row, so it is still there.
    row = conn.execute(select(replies).where(replies.c.tenant == tenant, replies.c.key == key)).one()
    return Reply(fingerprint=row.fingerprint, status=row.status, body=row.body)


def end(conn: Connection, tenant: Tenant, key: str, status: int | None, body: str | None) -> None:
    """Port: `Desk.end_reply`. The first answer stands."""
    if status is None:
        conn.execute(delete(replies).where(_open(tenant, key)))
    else:
        conn.execute(update(replies).where(_open(tenant, key)).values(status=status, body=body))


def _open(tenant: Tenant, key: str) -> ColumnElement[bool]:
    return and_(replies.c.tenant == tenant, replies.c.key == key, replies.c.status.is_(None))


def prune(conn: Connection, before: datetime) -> None:
    """Port: `Desk.prune`, of the replies."""
    conn.execute(delete(replies).where(replies.c.begun_at < utc(before)))
