"""Runs migrations on the engine that the caller hands over (core.catalogue.engine.migrate)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection, Engine, text

from core.catalogue.tables import metadata

engine: Engine = context.config.attributes["engine"]


@contextmanager
def unguarded(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by copying it and dropping the first: with foreign keys on, that would delete all rows
    that point to it. The setting cannot be changed inside a transaction."""
    raw = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or raw is None:
        yield
        return
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


with engine.connect().execution_options(write=True) as connection, unguarded(connection):
    # One transaction for all, on SQLite too: core.catalogue.engine begins it, where the driver would not.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two processes that start together must not both create the tables. SQLite's write lock does the same.
            connection.execute(text("SELECT pg_advisory_xact_lock(7165938)"))
        context.run_migrations()
        if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
            raise RuntimeError("the migration would leave rows that point nowhere")
