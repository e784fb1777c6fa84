"""Runs migrations on the engine that the caller hands over (core.catalogue.engine.migrate)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

from core.catalogue.tables import metadata

engine: Engine = context.config.attributes["engine"]

with engine.connect().execution_options(write=True) as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two processes that start together must not both create the tables. SQLite's write lock does the same.
            connection.execute(text("SELECT pg_advisory_xact_lock(7165938)"))
        context.run_migrations()
