"""Migrations bring a database to exactly the tables the code speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from core.catalogue.engine import at_head, make_engine, migrate, reading
from core.catalogue.tables import metadata


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_upgrading_to_head_equals_the_tables(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/c.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    engine = make_engine(url)
    migrate(engine)
    migrate(engine)
    assert at_head(engine)
    with reading(engine) as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
    engine.dispose()
