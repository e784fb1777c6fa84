"""Statements over bulk jobs. Who holds a job's token advances it; each race is decided by one conditional statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from core.catalogue import rows
from core.catalogue.assets import BATCH, insert_for, register, unused
from core.catalogue.engine import now, utc
from core.catalogue.tables import assets, job_assets, job_refusals, jobs
from core.desk import Job, JobClaim, Refusal
from core.errors import NoSuchJob
from core.records import Draft, Outcome, State
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
            attempts=0,
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


def give_up(conn: Connection, attempts: int) -> None:
    """End the jobs whose workers fell silent so many times without getting on."""
    moment = now()
    message = f"{attempts} workers in a row died or fell silent over its next lines: look at them, then send the rest"
    silent = and_(jobs.c.finished_at.is_(None), jobs.c.expires_at <= moment, jobs.c.attempts >= attempts)
    conn.execute(update(jobs).where(silent).values(finished_at=moment, error=message, token=None, expires_at=None))


def claim(conn: Connection, lease: timedelta) -> JobClaim | None:
    """Port: `Desk.claim_job`. SKIP LOCKED lets a second claimer have the next job; the condition keeps them apart."""
    moment = now()
    free = _free(moment)
    first = select(jobs.c.id).where(free).order_by(jobs.c.lines, jobs.c.created_at, jobs.c.id).limit(1)
    if conn.dialect.name == "postgresql":
        first = first.with_for_update(skip_locked=True)
    token = uuid4().hex
    take = (
        update(jobs)
        .where(jobs.c.id == first.scalar_subquery(), free)
        .values(token=token, expires_at=moment + lease, attempts=jobs.c.attempts + 1)
        .returning(jobs)
    )
    row = conn.execute(take).one_or_none()
    return None if row is None else JobClaim(job=_job(row), token=token)


def advance(
    conn: Connection,
    claim: JobClaim,
    lines: int,
    drafts: Sequence[Draft],
    refusals: Sequence[Refusal],
    lease: timedelta,
) -> list[tuple[AssetId, Outcome]] | None:
    """Port: `Desk.advance_job`. The count of lines only grows."""
    job = claim.job
    step = (
        update(jobs)
        .where(_held(claim), jobs.c.lines < lines)
        .values(lines=lines, expires_at=now() + lease, attempts=1)
        .returning(jobs.c.id)
    )
    if conn.execute(step).one_or_none() is None:
        return None if conn.execute(select(jobs.c.id).where(_held(claim))).one_or_none() is None else []
    done = register(conn, job.tenant, job.collection, drafts)
    for some in rows.chunks(sorted({asset_id for asset_id, _ in done}), IDS):
        links = [{"job_id": job.id, "asset_id": asset_id} for asset_id in some]
        conn.execute(insert_for(conn)(job_assets).values(links).on_conflict_do_nothing())
    for lot in rows.chunks(refusals, BATCH):
        said = [{"job_id": job.id, "line": r.line, "name": r.name, "kind": r.kind, "message": r.message} for r in lot]
        conn.execute(insert(job_refusals).values(said))
    return done


def finish(conn: Connection, claim: JobClaim, error: str | None) -> None:
    """Port: `Desk.finish_job`."""
    conn.execute(update(jobs).where(_held(claim)).values(finished_at=now(), error=error, token=None, expires_at=None))


def release(conn: Connection, claim: JobClaim) -> None:
    """Port: `Desk.release_job`. Its attempt counts no more."""
    back = update(jobs).where(_held(claim))
    conn.execute(back.values(token=None, expires_at=None, attempts=jobs.c.attempts - 1))


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
