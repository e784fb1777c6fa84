"""What the door keeps in the catalogue, over SQLAlchemy Core: API keys, bulk jobs, replies, judgements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from core.catalogue import jobs, judgements, keys, replies
from core.catalogue.engine import reading, writing
from core.desk import ApiKey, Job, JobClaim, Recorded, Refusal, Reply, Verdict
from core.records import Draft, Outcome, State
from core.types import AssetId, Digest, JobId, KeyId, Tenant


class SqlDesk:
    """`Desk` of core.desk. One transaction a call."""

    def __init__(self, engine: Engine, *, max_attempts: int) -> None:
        self.engine = engine
        self._max_attempts = max_attempts

    def create_key(self, key: ApiKey, secret_hash: str) -> None:
        """Port."""
        with writing(self.engine) as conn:
            keys.create(conn, key, secret_hash)

    def key(self, key_id: KeyId) -> tuple[ApiKey, str] | None:
        """Port."""
        with reading(self.engine) as conn:
            return keys.get(conn, key_id)

    def keys(self, tenant: Tenant | None) -> list[ApiKey]:
        """Port."""
        with reading(self.engine) as conn:
            return keys.listed(conn, tenant)

    def expire_key(self, key_id: KeyId, *, tenant: Tenant | None, at: datetime) -> ApiKey:
        """Port."""
        with writing(self.engine) as conn:
            return keys.expire(conn, key_id, tenant, at)

    def keyed(self) -> bool:
        """Port."""
        with reading(self.engine) as conn:
            return keys.any_ever(conn)

    def revoke_key(self, key_id: KeyId, *, tenant: Tenant | None) -> None:
        """Port."""
        with writing(self.engine) as conn:
            keys.revoke(conn, key_id, tenant)

    def create_job(self, job: Job) -> None:
        """Port."""
        with writing(self.engine) as conn:
            jobs.create(conn, job)

    def job(self, tenant: Tenant, job_id: JobId) -> Job:
        """Port."""
        with reading(self.engine) as conn:
            return jobs.get(conn, tenant, job_id)

    def jobs(self, tenant: Tenant, collection: str, *, limit: int = 100) -> list[Job]:
        """Port."""
        with reading(self.engine) as conn:
            return jobs.listed(conn, tenant, collection, limit)

    def jobs_wait(self) -> bool:
        """Port."""
        with reading(self.engine) as conn:
            return jobs.wait(conn)

    def claim_job(self, *, lease: timedelta) -> JobClaim | None:
        """Port."""
        with writing(self.engine) as conn:
            jobs.give_up(conn, self._max_attempts)
            return jobs.claim(conn, lease)

    def advance_job(
        self, claim: JobClaim, *, lines: int, drafts: Sequence[Draft], refusals: Sequence[Refusal], lease: timedelta
    ) -> list[tuple[AssetId, Outcome]] | None:
        """Port."""
        with writing(self.engine) as conn:
            return jobs.advance(conn, claim, lines, drafts, refusals, lease)

    def finish_job(self, claim: JobClaim, *, error: str | None) -> None:
        """Port."""
        with writing(self.engine) as conn:
            jobs.finish(conn, claim, error)

    def release_job(self, claim: JobClaim) -> None:
        """Port."""
        with writing(self.engine) as conn:
            jobs.release(conn, claim)

    def job_counts(self, tenant: Tenant, job_id: JobId) -> tuple[dict[State, int], int, timedelta]:
        """Port."""
        with reading(self.engine) as conn:
            return jobs.counts(conn, tenant, job_id)

    def refusals(self, tenant: Tenant, job_id: JobId, *, after: int = 0, limit: int = 1000) -> list[Refusal]:
        """Port."""
        with reading(self.engine) as conn:
            return jobs.refused(conn, tenant, job_id, after, limit)

    def prune(self, *, before: datetime) -> list[Digest]:
        """Port."""
        with writing(self.engine) as conn:
            replies.prune(conn, before)
            return jobs.prune(conn, before)

    def begin_reply(self, tenant: Tenant, key: str, fingerprint: str, *, lease: timedelta) -> Reply | None:
        """Port."""
        with writing(self.engine) as conn:
            return replies.begin(conn, tenant, key, fingerprint, lease)

    def end_reply(self, tenant: Tenant, key: str, *, status: int | None, body: str | None) -> None:
        """Port."""
        with writing(self.engine) as conn:
            replies.end(conn, tenant, key, status, body)

    def record(self, queries: Sequence[Recorded]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            judgements.record(conn, queries)

    def judge(self, tenant: Tenant, collection: str, query: UUID, asset: AssetId, grade: int) -> None:
        """Port."""
        with writing(self.engine) as conn:
            judgements.judge(conn, tenant, collection, query, asset, grade)

    def judged(
        self, tenant: Tenant, collection: str, *, after: UUID | None = None, limit: int = 1000
    ) -> list[tuple[Recorded, list[Verdict]]]:
        """Port."""
        with reading(self.engine) as conn:
            return judgements.judged(conn, tenant, collection, after, limit)

    def forget_queries(self, *, before: datetime, tenant: Tenant | None = None) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return judgements.forget(conn, before, tenant)
