"""Connections to the catalogue's database, and the one seam where its exceptions become faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc

import migrations
from core.catalogue.tables import canonical
from core.errors import CatalogueBroken, CatalogueDown, Conflict, Misconfigured, MissingExtra, SchemaOutdated

logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells at every start which dialect it found


def make_engine(where: str | Path) -> Engine:
    """An engine for an SQLite file, or a URL: `sqlite:///...`, `postgresql://...` (psycopg).

    Raises MissingExtra, Misconfigured.
    """
    pool: dict[str, Any] = {}
    url: str | URL
    if isinstance(where, Path):
        url = URL.create("sqlite", database=str(where))  # a path is no URL: a ? or % in it is part of its name
    elif where.startswith(("postgres://", "postgresql://", "postgresql+psycopg://")):
        url = "postgresql+psycopg://" + where.partition("://")[2]
        pool = {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 10, "pool_recycle": 1800}
    elif where.startswith("sqlite://"):
        url = where
    else:
        raise Misconfigured("DATABASE_URL cannot be read: write sqlite:///FILE or postgresql://HOST/NAME")
    try:
        engine = create_engine(url, json_serializer=canonical, **pool)
    except ModuleNotFoundError as error:
        raise MissingExtra("PostgreSQL needs its driver: pip install 'quiver[postgres]'") from error
    except exc.ArgumentError as error:
        raise Misconfigured("DATABASE_URL cannot be read: write sqlite:///FILE or postgresql://HOST/NAME") from error
    if engine.dialect.name == "sqlite":
        _sqlite(engine)
    return engine


def _sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # SQLAlchemy's begin event below speaks instead of the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        options = conn.get_execution_options()
        if not options.get("alone"):
            # A read that later writes fails at once on a stale snapshot: writers take the lock first.
            conn.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict(f"the catalogue refused a row: {error.orig}") from error
    except exc.ProgrammingError as error:
        raise SchemaOutdated(f"the catalogue's tables do not fit ({error.orig}): run `quiver migrate`") from error
    except exc.OperationalError as error:
        if "no such table" in str(error.orig) or "no such column" in str(error.orig):
            raise SchemaOutdated(f"the catalogue's tables do not fit ({error.orig}): run `quiver migrate`") from error
        raise CatalogueDown(f"the catalogue does not answer: {error.orig}") from error
    except exc.DatabaseError as error:
        if "malformed" in str(error.orig) or "not a database" in str(error.orig):
            raise CatalogueBroken(f"the catalogue is damaged ({error.orig}): restore a copy of it") from error
        raise CatalogueDown(f"the catalogue does not answer: {error.orig}") from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise CatalogueDown(f"the catalogue does not answer: {error}") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed on leaving, rolled back on a fault."""
    with _translated(), engine.connect().execution_options(write=True) as conn, conn.begin():
        yield conn


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent read."""
    with _translated(), engine.connect() as conn, conn.begin():
        yield conn


@contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """A read of one statement: consistent by itself, so no transaction is begun and ended, which a server is asked for
    as for the statement."""
    options = {"alone": True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    with _translated(), engine.connect().execution_options(**options) as conn:
        yield conn


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def utc(moment: datetime) -> datetime:
    """A moment as the database gave it, with its zone: SQLite drops it."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def alembic_config(engine: Engine) -> Config:
    """Alembic's configuration for the migrations that ship with Quiver."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["engine"] = engine
    return config


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest migration. Safe to run twice and by two processes at once."""
    if at_head(engine):
        return
    with _translated():
        command.upgrade(alembic_config(engine), "head")


def at_head(engine: Engine) -> bool:
    """Whether the tables are at the newest migration, or beyond: a migration of the next release only adds, and while
    that one is rolled out this one goes on, and starts again."""
    ours = ScriptDirectory.from_config(alembic_config(engine))
    with reading(engine) as conn:
        found = MigrationContext.configure(conn).get_current_revision()
    known = {revision.revision for revision in ours.walk_revisions()}
    return found is not None and (found == ours.get_current_head() or found not in known)
