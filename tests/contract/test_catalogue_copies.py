"""A catalogue of either database is copied whole, and a copy fills either database with what it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from core.catalogue import copying
from core.catalogue.engine import reading, writing
from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.catalogue.tables import erasures, metadata
from core.errors import CatalogueDown, Conflict
from core.records import State
from tests.contract.catalogues import LEASE, ME, OTHER, add, draft, empty, index_all

PASSING = {"leases", "circuits", "replies"}


def rows(catalogue: SqlCatalogue) -> dict[str, list[tuple[Any, ...]]]:
    """All that lasts, in words that both databases share."""
    out = {}
    with reading(catalogue.engine) as conn:
        for table in metadata.sorted_tables:
            if table.name not in PASSING:
                found = conn.execute(select(table)).all()
                out[table.name] = sorted((tuple(map(_plain, row)) for row in found), key=str)
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return value


def erase(catalogue: SqlCatalogue, number: int, hashed: str) -> None:
    row = {"number": number, "tenant": ME, "collection": "c", "receipt": {"n": number}, "previous": "", "hash": hashed}
    with writing(catalogue.engine) as conn:
        conn.execute(insert(erasures), row | {"at": datetime.now(UTC)})


def filled(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("a", kind="x", n=[1, None, {"ü": 1.5}]), draft("b", "y"))
    index_all(catalogue)
    add(catalogue, draft("b", "z"), draft("waits", "y"))
    add(catalogue, draft("theirs", "q"), tenant=OTHER)
    catalogue.remove(ME, "c", [catalogue.asset(ME, "c", "waits").id])
    catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.trip("store", "away")
    erase(catalogue, 1, "one")


def test_a_copy_holds_all_that_lasts(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    filled(catalogue)
    copying.copy_out(catalogue.engine, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
    copied = copying.open_copy(tmp_path / "copy.db")
    assert rows(copied) == rows(catalogue)
    assert [(digest[0], size) for digest, size in copied.digests()] == [("q", 1), ("x", 1), ("z", 1)]
    copied.close()


def test_a_copy_fills_an_empty_catalogue_of_either_database(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    filled(catalogue)
    copying.copy_out(catalogue.engine, tmp_path / "copy.db")
    before = rows(catalogue)
    other = open_catalogue(tmp_path / "other.db")
    copying.copy_in(other.engine, tmp_path / "copy.db", replace=False)
    assert rows(other) == before
    assert other.holders() == []
    assert other.circuits() == {}
    assert other.counts(ME, "c") == {State.INDEXED: 1, State.PENDING: 1, State.WORKING: 0, State.FAILED: 0}
    other.close()
    empty(catalogue)
    copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=False)
    assert rows(catalogue) == before


def test_what_is_there_is_replaced_only_when_asked_and_all_at_once(
    catalogue: SqlCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(catalogue)
    copying.copy_out(catalogue.engine, tmp_path / "copy.db")
    before = rows(catalogue)
    add(catalogue, draft("later"))
    now = rows(catalogue)
    with pytest.raises(Conflict, match="--force"):
        copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=False)
    real = copying._rows

    def breaking(conn: Any, table: Any) -> Any:
        if table.name == "receipts":
            raise KeyboardInterrupt
        return real(conn, table)

    monkeypatch.setattr(copying, "_rows", breaking)
    with pytest.raises(KeyboardInterrupt):
        copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=True)
    assert rows(catalogue) == now
    monkeypatch.setattr(copying, "_rows", real)
    copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=True)
    assert rows(catalogue) == before


def test_erasures_since_the_copy_stay_on_record(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    filled(catalogue)
    copying.copy_out(catalogue.engine, tmp_path / "copy.db")
    erase(catalogue, 2, "two")
    copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=True)
    with reading(catalogue.engine) as conn:
        assert conn.execute(select(erasures.c.hash).order_by(erasures.c.number)).scalars().all() == ["one", "two"]
    with writing(catalogue.engine) as conn:
        conn.execute(erasures.update().where(erasures.c.number == 1).values(hash="another"))
    now = rows(catalogue)
    with pytest.raises(Conflict, match="two histories"):
        copying.copy_in(catalogue.engine, tmp_path / "copy.db", replace=True)
    assert rows(catalogue) == now


def test_a_disk_that_cannot_be_written_is_said(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    with pytest.raises(CatalogueDown, match="see to the disk"):
        copying.copy_out(catalogue.engine, tmp_path / "nowhere" / "copy.db")
