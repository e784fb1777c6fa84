"""Migrations bring a database to exactly the tables the code speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from core.catalogue.engine import alembic_config, at_head, make_engine, migrate, reading
from core.catalogue.tables import metadata

WHEN = "2026-01-01 00:00:00+00:00"
ID = "00000000000000000000000000000007"
ROWS = (
    f"INSERT INTO collections VALUES ('c', '{{}}', 'p', '{WHEN}')",
    f"INSERT INTO indexes VALUES ('c-1', 'c', 'serving', '[]', '{{}}', '{WHEN}')",
    "INSERT INTO assets VALUES "
    f"('{ID}', 'me', 'c', 'a', 'text', 'text/plain', 'd', 1, '{{}}', 1, '{WHEN}', '{WHEN}', NULL)",
    f"INSERT INTO receipts VALUES ('{ID}', 'c-1', 1, 1, '{WHEN}')",
    f"INSERT INTO leases VALUES ('{ID}', 1, 1, NULL, 'w', '{WHEN}')",
    f"INSERT INTO failures VALUES ('{ID}', 1, 'CorruptMedia', 'it is', 1, 'w', '{WHEN}', NULL)",
)
SIX = "id, collection, state, spaces, fields, created_at"
KEPT = ("collections", "indexes", "assets", "receipts", "leases", "failures")


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Of an empty database."""
    url = f"sqlite:///{tmp_path}/c.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = make_engine(url)
    if request.param == "postgres":
        with made.begin() as conn:  # tests share one database
            conn.execute(text("DROP SCHEMA public CASCADE"))
            conn.execute(text("CREATE SCHEMA public"))
    yield made
    made.dispose()


def rows_of(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with reading(engine) as conn:
        return {name: [tuple(row) for row in conn.execute(text(f"SELECT * FROM {name}"))] for name in KEPT}


def test_no_row_is_lost_on_the_way_from_the_first_migration_and_back(engine: Engine) -> None:
    """SQLite copies a table to change it: what points to it must not go with the first copy."""
    command.upgrade(alembic_config(engine), "0001")
    with engine.begin() as conn:
        for row in ROWS:
            conn.execute(text(row))
    before = rows_of(engine)
    assert all(before.values())
    command.upgrade(alembic_config(engine), "head")
    after = rows_of(engine)
    assert after.pop("receipts") == []  # what was indexed by then is indexed again
    assert {name: [row[: len(before[name][0])] for row in held] for name, held in after.items()} == {
        name: before[name] for name in after
    }
    second = ROWS[1].replace("'c-1'", "'c-2'").replace("INTO indexes", f"INTO indexes ({SIX})")
    with pytest.raises(IntegrityError), engine.begin() as conn:
        conn.execute(text(second))  # a second serving index
    with pytest.raises(IntegrityError), engine.begin() as conn:
        conn.execute(text(ROWS[2].replace("'c'", "'nowhere'").replace(ID, ID.replace("7", "8"))))
    with engine.begin() as conn:  # it came by one connection of the pool: what points to it still goes with it
        conn.execute(text(f"DELETE FROM assets WHERE id = '{ID}'"))
    assert [len(rows) for rows in rows_of(engine).values()] == [1, 1, 0, 0, 0, 0]
    command.downgrade(alembic_config(engine), "0001")
    assert [len(rows) for rows in rows_of(engine).values()] == [1, 1, 0, 0, 0, 0]


def test_a_release_goes_on_and_starts_again_on_the_tables_of_the_next_one(engine: Engine) -> None:
    assert not at_head(engine), "there are no tables yet"
    command.upgrade(alembic_config(engine), "0001")
    assert not at_head(engine)
    migrate(engine)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE of_the_next_release (id INTEGER)"))
        conn.execute(text("UPDATE alembic_version SET version_num = 'next'"))
    assert at_head(engine), "or a proxy would take away what still serves"
    migrate(engine)
    with reading(engine) as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "next"
        assert conn.execute(text("SELECT count(*) FROM assets")).scalar_one() == 0


def test_upgrading_to_head_equals_the_tables(engine: Engine) -> None:
    migrate(engine)
    migrate(engine)
    assert at_head(engine)
    with reading(engine) as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
