"""What the door keeps in the catalogue: API keys, bulk jobs, replies to requests that may come twice, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from core.records import Draft, Outcome, State
from core.types import AssetId, Digest, JobId, KeyId, Tenant


class Role(StrEnum):
    """What the holder of an API key may do. Each includes those that `INCLUDES` names."""

    READER = "reader"  # search, look at, fetch
    WRITER = "writer"  # add, replace, remove; make collections
    MODERATOR = "moderator"  # look up what is known to be bad, and decide
    ADMIN = "admin"  # everything of its tenant: failures, reconciliation, keys
    OPERATOR = "operator"  # the figures of the whole installation; with ADMIN, what concerns all in shared collections


INCLUDES: dict[Role, frozenset[Role]] = {
    Role.READER: frozenset({Role.READER}),
    Role.WRITER: frozenset({Role.READER, Role.WRITER}),
    Role.MODERATOR: frozenset({Role.READER, Role.MODERATOR}),
    Role.ADMIN: frozenset({Role.READER, Role.WRITER, Role.MODERATOR, Role.ADMIN}),
    Role.OPERATOR: frozenset({Role.OPERATOR}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What an API key may use; None: as the settings say; 0: without limit."""

    queries_per_second: float | None = None
    assets_per_day: int | None = None
    bytes_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A credential, without its secret: that is shown once and kept hashed."""

    id: KeyId
    tenant: Tenant
    name: str  # what a person calls it
    roles: frozenset[Role]
    quota: Quota
    created_at: datetime
    expires_at: datetime | None

    def allows(self, role: Role) -> bool:
        """Whether one of its roles includes that one."""
        return any(role in INCLUDES[held] for held in self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One bulk request: a manifest kept as a blob, taken in by workers line by line."""

    id: JobId
    tenant: Tenant
    collection: str
    digest: Digest  # of the manifest
    lines: int  # that were taken in so far
    fetches: bool  # whether its lines may name addresses to be fetched
    created_at: datetime
    finished_at: datetime | None
    error: str | None  # why it ended before its last line


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClaim:
    """A lease on a job: who holds the token may take its lines in until the lease ends."""

    job: Job
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A line of a job that was not registered, and why."""

    line: int
    name: str  # external id; empty for a line that names none
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was answered to a request that named an idempotency key. `status` is None while it is being worked on."""

    fingerprint: str
    status: int | None
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A search that was recorded: words, names and digests, never a file or a vector."""

    id: UUID
    tenant: Tenant
    collection: str
    said: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How good somebody found an asset as an answer to a recorded search. 0: wrong; larger: better."""

    asset: AssetId
    external_id: str
    grade: int
    at: datetime


class Desk(Protocol):
    """The catalogue's side of it. Each racing change is one conditional statement. Fault: CatalogueDown."""

    def create_key(self, key: ApiKey, secret_hash: str) -> None:
        """Keep a new key. Conflict when its id is taken."""
        ...

    def key(self, key_id: KeyId) -> tuple[ApiKey, str] | None:
        """A key and the hash of its secret; None when it is unknown, expired or revoked."""
        ...

    def keys(self, tenant: Tenant | None) -> list[ApiKey]:
        """Those of a tenant, or all, expired ones included, by creation. A revoked one is none."""
        ...

    def expire_key(self, key_id: KeyId, *, tenant: Tenant | None, at: datetime) -> ApiKey:
        """Let it expire then, unless it does before. Raises NoSuchKey, also when it is another tenant's."""
        ...

    def keyed(self) -> bool:
        """Whether there ever was a key, expired and revoked ones included."""
        ...

    def revoke_key(self, key_id: KeyId, *, tenant: Tenant | None) -> None:
        """It is refused from now on. Raises NoSuchKey, also when it is another tenant's."""
        ...

    def create_job(self, job: Job) -> None:
        """Keep a new job."""
        ...

    def job(self, tenant: Tenant, job_id: JobId) -> Job:
        """Raises NoSuchJob."""
        ...

    def jobs(self, tenant: Tenant, collection: str, *, limit: int = 100) -> list[Job]:
        """Newest first."""
        ...

    def jobs_wait(self) -> bool:
        """Whether there is an unfinished job that nobody holds."""
        ...

    def claim_job(self, *, lease: timedelta) -> JobClaim | None:
        """Lease an unfinished job that nobody holds, the one of which the fewest lines are done, so that a long one
        stops nobody; None when there is none. Ends one whose workers fell silent as often as attempts are allowed."""
        ...

    def advance_job(
        self, claim: JobClaim, *, lines: int, drafts: Sequence[Draft], refusals: Sequence[Refusal], lease: timedelta
    ) -> list[tuple[AssetId, Outcome]] | None:
        """Register drafts and keep refusals, which brings the job to so many lines, and renew the lease, all in one
        transaction: a line is never registered again over what was sent since. Nothing, and no ids, when so many lines
        were done before. None when the claim is another's by now."""
        ...

    def finish_job(self, claim: JobClaim, *, error: str | None) -> None:
        """Its last line is done, or it cannot be gone on with. Nothing when the claim is another's by now."""
        ...

    def release_job(self, claim: JobClaim) -> None:
        """Hand it back unfinished. Nothing when the claim is another's by now."""
        ...

    def job_counts(self, tenant: Tenant, job_id: JobId) -> tuple[dict[State, int], int, timedelta]:
        """Of a job's assets that are still there: how many in each state; how many lines were refused; how long the
        oldest that is neither indexed nor failed has waited. Raises NoSuchJob."""
        ...

    def refusals(self, tenant: Tenant, job_id: JobId, *, after: int = 0, limit: int = 1000) -> list[Refusal]:
        """Refused lines beyond a line, in order. Raises NoSuchJob."""
        ...

    def prune(self, *, before: datetime) -> list[Digest]:
        """Delete jobs that finished, and replies that were begun, before then; the digests that nothing uses now."""
        ...

    def begin_reply(self, tenant: Tenant, key: str, fingerprint: str, *, lease: timedelta) -> Reply | None:
        """None: the request is the caller's to do, for the time of the lease. Otherwise what is known of an earlier
        one with that key, answered or still being worked on. One conditional statement decides."""
        ...

    def end_reply(self, tenant: Tenant, key: str, *, status: int | None, body: str | None) -> None:
        """Keep the answer; with None for the status forget the request, so that it can be sent again."""
        ...

    def record(self, queries: Sequence[Recorded]) -> None:
        """Keep searches. One that is there already is left as it is."""
        ...

    def judge(self, tenant: Tenant, collection: str, query: UUID, asset: AssetId, grade: int) -> None:
        """Keep a verdict; the last one on an asset stands. Raises NoSuchQuery, also when it is another tenant's or
        of another collection, and NoSuchAsset."""
        ...

    def judged(
        self, tenant: Tenant, collection: str, *, after: UUID | None = None, limit: int = 1000
    ) -> list[tuple[Recorded, list[Verdict]]]:
        """A page, by id, of searches that have verdicts on assets that are there, and these by external id."""
        ...

    def forget_queries(self, *, before: datetime, tenant: Tenant | None = None) -> int:
        """Delete recorded searches older than that, with their verdicts; of one tenant, or of all; how many."""
        ...
