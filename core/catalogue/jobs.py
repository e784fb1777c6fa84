"""Statements over bulk jobs. Who holds a job's token advances it; each race is decided by one conditional statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from core.catalogue import rows
from core.catalogue.assets import BATCH, insert_for, unused
from core.catalogue.engine import now, utc
from core.catalogue.tables import assets, job_assets, job_refusals, jobs
from core.desk import Job, JobClaim, Refusal
from core.errors import NoSuchJob
from core.records import State
from core.types import AssetId, Digest, JobId, Tenant

IDS = 500  # assets a statement


def create(conn: Connection, job: Job) -> None:
    """Port: `Desk.create_job`."""
    conn.execute(
        insert(jobs).values(
            id=job.id,
            tenant=job.tenant,
            collection=job.collection,
            digest=job.digest,
            lines=job.lines,
            fetches=job.fetches,
            created_at=utc(job.created_at),
            finished_at=utc(job.finished_at) if job.finished_at else None,
            error=job.error,
        )
    )


def get(conn: Connection, tenant: Tenant, job_id: JobId) -> Job:
    """Port: `Desk.job`."""
    row = conn.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NoSuchJob(f"there is no bulk job {str(job_id)!r}: it was never sent, or was forgotten some days after")
    return _job(row)


def listed(conn: Connection, tenant: Tenant, collection: str, limit: int) -> list[Job]:
    """Port: `Desk.jobs`."""
    query = (
        select(jobs)
        .where(jobs.c.tenant == tenant, jobs.c.collection == collection)
        .order_by(jobs.c.created_at.desc(), jobs.c.id)
        .limit(limit)
    )
    return [_job(row) for row in conn.execute(query)]


def _free(moment: datetime) -> ColumnElement[bool]:
    return and_(jobs.c.finished_at.is_(None), or_(jobs.c.token.is_(None), jobs.c.expires_at <= moment))


def wait(conn: Connection) -> bool:
    """Port: `Desk.jobs_wait`."""
    return conn.execute(select(jobs.c.id).where(_free(now())).limit(1)).first() is not None


def claim(conn: Connection, lease: timedelta) -> JobClaim | None:
    """Port: `Desk.claim_job`. SKIP LOCKED lets a second claimer have the next job; the condition keeps them apart."""
    moment = now()
    free = _free(moment)
    oldest = select(jobs.c.id).where(free).order_by(jobs.c.created_at, jobs.c.id).limit(1)
    if conn.dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
    token = uuid4().hex
    take = (
        update(jobs)
        .where(jobs.c.id == oldest.scalar_subquery(), free)
        .values(token=token, expires_at=moment + lease)
        .returning(jobs)
    )
    row = conn.execute(take).one_or_none()
    return None if row is None else JobClaim(job=_job(row), token=token)


def advance(
    conn: Connection,
    claim: JobClaim,
    lines: int,
    registered: Sequence[AssetId],
    refusals: Sequence[Refusal],
    lease: timedelta,
) -> bool:
    """Port: `Desk.advance_job`. The count of lines never falls."""
    step = (
        update(jobs)
        .where(_held(claim))
        .values(lines=case((jobs.c.lines < lines, lines), else_=jobs.c.lines), expires_at=now() + lease)
        .returning(jobs.c.id)
    )
    if conn.execute(step).one_or_none() is None:
        return False
    for some in rows.chunks(sorted(set(registered)), IDS):
        there = _still_there(conn, claim.job.id, some)
        new = insert_for(conn)(job_assets).from_select(["job_id", "asset_id"], there)
        conn.execute(new.on_conflict_do_nothing())
    for lot in rows.chunks(refusals, BATCH):
        said = [
            {"job_id": claim.job.id, "line": r.line, "name": r.name, "kind": r.kind, "message": r.message} for r in lot
        ]
        conn.execute(insert_for(conn)(job_refusals).values(said).on_conflict_do_nothing())
    return True


def _still_there(conn: Connection, job_id: JobId, ids: Sequence[AssetId]) -> Select[Any]:
    """Job and asset, of the assets that were not purged since; those cannot be purged until the commit."""
    there = select(literal(job_id, jobs.c.id.type), assets.c.id).where(assets.c.id.in_(ids)).order_by(assets.c.id)
    return there.with_for_update(read=True, key_share=True, of=assets) if conn.dialect.name == "postgresql" else there


def finish(conn: Connection, claim: JobClaim, error: str | None) -> None:
    """Port: `Desk.finish_job`."""
    conn.execute(update(jobs).where(_held(claim)).values(finished_at=now(), error=error, token=None, expires_at=None))


def release(conn: Connection, claim: JobClaim) -> None:
    """Port: `Desk.release_job`."""
    conn.execute(update(jobs).where(_held(claim)).values(token=None, expires_at=None))


def _held(claim: JobClaim) -> ColumnElement[bool]:
    return and_(jobs.c.id == claim.job.id, jobs.c.token == claim.token, jobs.c.finished_at.is_(None))


def counts(conn: Connection, tenant: Tenant, job_id: JobId) -> tuple[dict[State, int], int, timedelta]:
    """Port: `Desk.job_counts`."""
    get(conn, tenant, job_id)
    moment = now()
    each = (
        select(rows.state(moment).label("state"), assets.c.changed_at)
        .join(job_assets, job_assets.c.asset_id == assets.c.id)
        .where(job_assets.c.job_id == job_id, assets.c.removed_at.is_(None))
        .subquery()
    )
    found = conn.execute(select(each.c.state, func.count(), func.min(each.c.changed_at)).group_by(each.c.state))
    said = {State(state): (count, utc(oldest)) for state, count, oldest in found}
    waits = [moment - said[state][1] for state in (State.PENDING, State.WORKING) if state in said]
    refused = select(func.count()).select_from(job_refusals).where(job_refusals.c.job_id == job_id)
    return (
        {state: said[state][0] if state in said else 0 for state in State},
        conn.execute(refused).scalar_one(),
        max([timedelta(0), *waits]),
    )


def refused(conn: Connection, tenant: Tenant, job_id: JobId, after: int, limit: int) -> list[Refusal]:
    """Port: `Desk.refusals`."""
    get(conn, tenant, job_id)
    query = (
        select(job_refusals)
        .where(job_refusals.c.job_id == job_id, job_refusals.c.line > after)
        .order_by(job_refusals.c.line)
        .limit(limit)
    )
    return [Refusal(line=row.line, name=row.name, kind=row.kind, message=row.message) for row in conn.execute(query)]


def prune(conn: Connection, before: datetime) -> list[Digest]:
    """Port: `Desk.prune`, but for the replies."""
    gone = delete(jobs).where(jobs.c.finished_at < utc(before)).returning(jobs.c.digest)
    return unused(conn, set(conn.execute(gone).scalars()))


def _job(row: Row[Any]) -> Job:
    return Job(
        id=JobId(row.id),
        tenant=Tenant(row.tenant),
        collection=row.collection,
        digest=Digest(row.digest),
        lines=row.lines,
        fetches=row.fetches,
        created_at=utc(row.created_at),
        finished_at=utc(row.finished_at) if row.finished_at else None,
        error=row.error,
    )
