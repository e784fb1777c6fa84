"""Statements that delete what named an erased thing beside assets and points: in jobs, replies, recorded queries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, delete, select, tuple_, update

from core.catalogue import rows
from core.catalogue.engine import now
from core.catalogue.tables import job_refusals, jobs, queries, replies, verdicts
from core.erasing import Erasing, Traces
from core.types import Digest

MANY = 500  # rows a statement
GONE = "0" * 64  # the digest of a manifest that is kept no more


def strike(conn: Connection, begun: Erasing) -> Traces:
    """Port: `Erasures.strike_traces`."""
    names = {target.external_id for target in begun.targets if target.external_id} | set(begun.names)
    ids = {target.asset for target in begun.targets}
    named = _naming(names | {str(each) for each in ids})
    judged = sum(
        len(conn.execute(delete(verdicts).where(verdicts.c.asset_id.in_(some)).returning(verdicts.c.query_id)).all())
        for some in rows.chunks(sorted(ids), MANY)
    )
    asked, theirs = _queries(conn, begun, named)
    return Traces(
        refusals=_refusals(conn, begun, names),
        queries=asked,
        verdicts=judged + theirs,
        replies=_replies(conn, begun, named),
    )


def _refusals(conn: Connection, begun: Erasing, names: set[str]) -> int:
    theirs = select(jobs.c.id).where(jobs.c.tenant == begun.tenant, jobs.c.collection == begun.collection)
    mine = job_refusals.c.job_id.in_(theirs)
    struck = delete(job_refusals).returning(job_refusals.c.line)
    if begun.whole:
        return len(conn.execute(struck.where(mine)).all())
    return sum(
        len(conn.execute(struck.where(mine, job_refusals.c.name.in_(some))).all())
        for some in rows.chunks(sorted(names), MANY)
    )


def _queries(conn: Connection, begun: Erasing, named: Callable[[Any], bool]) -> tuple[int, int]:
    """How many, and how many verdicts on their other answers went with them."""
    mine = and_(queries.c.tenant == begun.tenant, queries.c.collection == begun.collection)
    found = conn.execute(select(queries.c.id, queries.c.said).where(mine)).all()
    ids = [row.id for row in found if begun.whole or named(row.said)]
    judged = 0
    for some in rows.chunks(ids, MANY):
        struck = delete(verdicts).where(verdicts.c.query_id.in_(some)).returning(verdicts.c.query_id)
        judged += len(conn.execute(struck).all())
        conn.execute(delete(queries).where(queries.c.id.in_(some)))
    return len(ids), judged


def _replies(conn: Connection, begun: Erasing, named: Callable[[Any], bool]) -> int:
    """Of requests of the tenant's: in which collection they were the reply does not say."""
    mine = and_(replies.c.tenant == begun.tenant, replies.c.body.is_not(None))
    struck = delete(replies).returning(replies.c.key)
    if begun.whole:
        return len(conn.execute(struck.where(mine)).all())
    found = conn.execute(select(replies.c.tenant, replies.c.key, replies.c.body).where(mine))
    keys = [(row.tenant, row.key) for row in found if named(_read(row.body))]
    return sum(
        len(conn.execute(struck.where(tuple_(replies.c.tenant, replies.c.key).in_(some))).all())
        for some in rows.chunks(keys, MANY)
    )


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _naming(wanted: Iterable[str]) -> Callable[[Any], bool]:
    """Whether JSON holds one of these as a string of its own, at whatever depth."""
    known = frozenset(wanted)

    def named(said: Any) -> bool:
        left = [said]
        while left:
            one = left.pop()
            if isinstance(one, str):
                if one in known:
                    return True
            elif isinstance(one, dict):
                left += one.values()
            elif isinstance(one, list):
                left += one
        return False

    return named


def end_job(conn: Connection, job_id: UUID, error: str) -> tuple[Digest, bool]:
    """Port: `Erasures.end_job`."""
    stop = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.finished_at.is_(None))
        .values(finished_at=now(), error=error, token=None, expires_at=None)
        .returning(jobs.c.id)
    )
    ended = conn.execute(stop).one_or_none() is not None
    held = conn.execute(select(jobs.c.digest).where(jobs.c.id == job_id).with_for_update()).scalar_one_or_none()
    conn.execute(update(jobs).where(jobs.c.id == job_id).values(digest=GONE))
    return Digest(held or GONE), ended
