"""The catalogue's tables. A migration in `migrations/versions` brings a database to exactly these."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = JSON().with_variant(JSONB(), "postgresql")
Moment = DateTime(timezone=True)  # UTC; SQLite keeps it without its zone


def canonical(value: Any) -> str:
    """JSON with one spelling a value, so that SQLite can compare it as text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


collections = Table(
    "collections",
    metadata,
    Column("name", String(95), primary_key=True),  # a label, and the mark of the tenant that made it
    Column("fields", Json, nullable=False),
    Column("profile", String(255), nullable=False),
    Column("reads", Json, nullable=False, server_default="[]"),
    Column("created_at", Moment, nullable=False),
)

COMING = ("planned", "building", "verifying")  # a collection has one index at most that is to serve some day

indexes = Table(
    "indexes",
    metadata,
    Column("id", String(127), primary_key=True),
    Column("collection", ForeignKey("collections.name"), nullable=False),
    Column("state", String(15), nullable=False),
    Column("spaces", Json, nullable=False),
    Column("fields", Json, nullable=False),
    Column("reads", Json, nullable=False, server_default="[]"),
    Column("created_at", Moment, nullable=False),
    Column("plan", Json, nullable=False, server_default="{}"),  # how it is built and kept: `core.records.Tended`
    Column("note", Text, nullable=True),  # why it is in its state, when there is something to say
    Column("changed_at", Moment, nullable=True),  # of its state
    Column("profile", String(255), nullable=False, server_default=""),  # whose encoders made its vectors
    Index(
        "uq_indexes_serving",
        "collection",
        unique=True,
        sqlite_where=Column("state") == "serving",
        postgresql_where=Column("state") == "serving",
    ),
    Index(
        "uq_indexes_coming",
        "collection",
        unique=True,
        sqlite_where=Column("state").in_(COMING),
        postgresql_where=Column("state").in_(COMING),
    ),
)

assets = Table(
    "assets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", String(127), nullable=False),
    Column("collection", ForeignKey("collections.name"), nullable=False),
    Column("external_id", String(1023), nullable=False),
    Column("modality", String(15), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("removed_at", Moment, nullable=True),
    UniqueConstraint("tenant", "collection", "external_id"),
    Index("ix_assets_digest", "digest"),
    Index("ix_assets_collection_changed_at", "collection", "changed_at"),
    Index("ix_assets_removed_at", "removed_at"),
    Index("ix_assets_tenant_collection_created_at_id", "tenant", "collection", "created_at", "id"),
)

# This index has the points of this generation of this asset.
receipts = Table(
    "receipts",
    metadata,
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("index_id", ForeignKey("indexes.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("points", Integer, nullable=False),
    Column("signed_at", Moment, nullable=False),
    Index("ix_receipts_index_id", "index_id"),
)

# One row an asset being worked on, or whose worker fell silent: for all that is written to, or for one index that is
# being built. `attempts` counts claims of this generation.
leases = Table(
    "leases",
    metadata,
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", String(32), nullable=True),  # null: given back
    Column("worker", String(255), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("index_id", String(127), primary_key=True, server_default=""),  # empty: all of them
)

# Why an index does not have this generation of this asset.
failures = Table(
    "failures",
    metadata,
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("kind", String(63), nullable=False),
    Column("message", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("worker", String(255), nullable=False),
    Column("at", Moment, nullable=False),
    Column("retry_at", Moment, nullable=True),  # null: never by itself
    Column("index_id", ForeignKey("indexes.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_failures_index_id", "index_id"),
)

# Where the time of indexing goes: sums over all batches, of all workers.
stages = Table(
    "stages",
    metadata,
    Column("collection", ForeignKey("collections.name"), primary_key=True),
    Column("stage", String(31), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("assets", BigInteger, nullable=False),
)

# What is down, for all workers to see. A row is there until a call succeeded.
circuits = Table(
    "circuits",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("faults", Integer, nullable=False),
    Column("open_until", Moment, nullable=False),
    Column("reason", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("tenant", String(127), nullable=False),
    Column("name", String(255), nullable=False),
    Column("secret_hash", String(255), nullable=False),
    Column("roles", Json, nullable=False),
    Column("queries_per_second", Float, nullable=True),  # null: as the settings say; so the next two
    Column("assets_per_day", BigInteger, nullable=True),
    Column("bytes_per_day", BigInteger, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=True),
    Index("ix_api_keys_tenant", "tenant"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", String(127), nullable=False),
    Column("collection", ForeignKey("collections.name"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("lines", Integer, nullable=False),
    Column("fetches", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=True),
    Column("error", Text, nullable=True),
    Column("token", String(32), nullable=True),  # null: nobody holds it
    Column("expires_at", Moment, nullable=True),  # of the lease
    Column("attempts", Integer, nullable=False),  # claims since the last line was taken in
    Index("ix_jobs_tenant_collection_created_at", "tenant", "collection", "created_at"),
    Index("ix_jobs_finished_at_created_at", "finished_at", "created_at"),
    Index("ix_jobs_digest", "digest"),
)

job_assets = Table(
    "job_assets",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_job_assets_asset_id", "asset_id"),
)

job_refusals = Table(
    "job_refusals",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("kind", String(63), nullable=False),
    Column("message", Text, nullable=False),
)

# Requests that may come twice, and what the first was answered.
replies = Table(
    "replies",
    metadata,
    Column("tenant", String(127), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(255), nullable=False),
    Column("status", Integer, nullable=True),  # null: being worked on until `expires_at`
    Column("body", Text, nullable=True),
    Column("begun_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("ix_replies_begun_at", "begun_at"),
)

# What was erased: a chain in which each receipt holds the hash of the one before. Replayed after a restore.
erasures = Table(
    "erasures",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, without a gap
    Column("tenant", String(127), nullable=False),
    Column("collection", String(95), nullable=False),
    Column("receipt", Json, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("hash"),
    Index("ix_erasures_tenant", "tenant"),
)

# Erasures that have begun and have no receipt yet. Nothing of it is left when they have.
erasing = Table(
    "erasing",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Integer, nullable=False),  # among those of one order
    Column("tenant", String(127), nullable=False),
    Column("collection", String(95), nullable=False),
    Column("names", Json, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("asked", Json, nullable=False),
    Column("found", Json, nullable=True),  # ids of points by index; null: nobody has looked yet
    Column("token", String(32), nullable=False),
    Column("worker", String(255), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("begun_at", Moment, nullable=False),
)

# Not a foreign key to assets: the row outlives the asset's.
erasing_assets = Table(
    "erasing_assets",
    metadata,
    Column("erasing_id", ForeignKey("erasing.id", ondelete="CASCADE"), primary_key=True),
    Column("asset_id", Uuid, primary_key=True),
    Column("external_id", String(1023), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("generation", Integer, nullable=False),  # below it all is to go
    Index("ix_erasing_assets_asset_id", "asset_id"),
)

# Bytes that an asset had before it was replaced: erased by the next sweep if nothing uses them.
superseded = Table(
    "superseded",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
)

# How a cosine of a space is to be read, of queries of one modality against content of another.
calibrations = Table(
    "calibrations",
    metadata,
    Column("index_id", ForeignKey("indexes.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(12), primary_key=True),  # of the space
    Column("asked", String(15), primary_key=True),
    Column("content", String(15), primary_key=True),
    Column("curve", Json, nullable=False),
    Column("fitted_at", Moment, nullable=False),
)

# What was asked, for those who say afterwards how good an answer was.
queries = Table(
    "queries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", String(127), nullable=False),
    Column("collection", ForeignKey("collections.name"), nullable=False),
    Column("said", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_queries_tenant_collection_id", "tenant", "collection", "id"),
    Index("ix_queries_at", "at"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("query_id", ForeignKey("queries.id", ondelete="CASCADE"), primary_key=True),
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("grade", Integer, nullable=False),  # 0: wrong; larger: better
    Column("at", Moment, nullable=False),
    Index("ix_verdicts_asset_id", "asset_id"),
)
