"""Circuits: what is down is written where every worker looks, so that an outage slows everybody and blames nobody."""

from __future__ import annotations

import random
from datetime import timedelta

from sqlalchemy import Connection, delete, func, select

from core.catalogue import rows
from core.catalogue.assets import insert_for
from core.catalogue.engine import now, utc
from core.catalogue.tables import assets, circuits
from core.records import IndexState

FIRST = timedelta(seconds=0.5)
CAP = timedelta(seconds=30)


def trip(conn: Connection, name: str, reason: str) -> None:
    """Port: `Catalogue.trip`. The wait doubles with every fault; one reported while it is open is the same outage."""
    moment = now()
    row = conn.execute(select(circuits).where(circuits.c.name == name)).one_or_none()
    if row is not None and utc(row.open_until) > moment:
        return
    faults = row.faults + 1 if row is not None else 1
    wait = min(CAP, FIRST * 2 ** min(faults, 16)) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
    said = {"faults": faults, "open_until": moment + wait, "reason": reason[:500]}
    new = insert_for(conn)(circuits).values(name=name, **said)
    conn.execute(new.on_conflict_do_update(index_elements=["name"], set_=said))


def mend(conn: Connection, name: str) -> None:
    """Port: `Catalogue.mend`."""
    conn.execute(delete(circuits).where(circuits.c.name == name))


def opened(conn: Connection) -> dict[str, tuple[timedelta, str]]:
    """Port: `Catalogue.circuits`."""
    moment = now()
    found = conn.execute(select(circuits))
    return {row.name: (max(timedelta(0), utc(row.open_until) - moment), row.reason) for row in found}


def oldest_waiting(conn: Connection, collection: str) -> timedelta:
    """Port: `Catalogue.oldest_waiting`."""
    moment = now()
    oldest = conn.execute(
        select(func.min(assets.c.changed_at)).where(
            assets.c.collection == collection,
            assets.c.removed_at.is_(None),
            rows.lacking([IndexState.SERVING]),
            ~rows.failed_in([IndexState.SERVING]),
        )
    ).scalar_one()
    return timedelta(0) if oldest is None else moment - utc(oldest)
