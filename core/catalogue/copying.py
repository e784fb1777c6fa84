"""A whole catalogue as one file of SQLite, whatever database it is in, and back: for backups, and for moving."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, insert, literal, select, union_all

from core.catalogue.engine import make_engine, migrate, reading, utc, writing
from core.catalogue.sql import SqlCatalogue
from core.catalogue.tables import (
    assets,
    circuits,
    collections,
    erasing,
    erasing_assets,
    erasures,
    jobs,
    leases,
    metadata,
    replies,
    superseded,
)
from core.errors import CatalogueBroken, CatalogueDown, Conflict
from core.types import Digest

ROWS = 500  # a statement
PASSING = (leases, circuits, replies)  # of processes that are gone when a copy is restored
LASTING = (erasures, erasing, erasing_assets, superseded)  # what is or was to be erased is so after a restore, too


def copy_out(engine: Engine, target: Path) -> None:
    """As it is at one moment, while others go on. Raises CatalogueDown when the file cannot be written, CatalogueBroken
    when what was copied is damaged."""
    try:
        target.unlink(missing_ok=True)
        target.touch(0o600)  # keys are in it, if hashed; and whether it can be written is said before anything else
        if engine.dialect.name == "sqlite":
            _copy_file(engine, target)
        else:
            _copy_rows(engine, target)
        with closing(sqlite3.connect(target)) as copied:
            copied.execute("PRAGMA journal_mode = DELETE")  # else it would be three files
            said = copied.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if said != "ok":
            raise CatalogueBroken(f"the catalogue is damaged ({said}): restore an earlier copy of it")
        with target.open("rb") as written:
            os.fsync(written.fileno())
    except (sqlite3.Error, OSError) as exc:
        raise CatalogueDown(f"the catalogue cannot be copied to {target} ({exc}): see to the disk") from exc


def _copy_file(engine: Engine, target: Path) -> None:
    """SQLite's online backup, in one step: in its log of writes, readers hold up nobody."""
    raw = engine.raw_connection()
    try:
        source: Any = raw.driver_connection
        with closing(sqlite3.connect(target)) as copied:
            source.backup(copied, pages=-1)
    finally:
        raw.close()


def _copy_rows(engine: Engine, target: Path) -> None:
    made = make_engine(target)
    try:
        migrate(made)
        with reading(engine.execution_options(isolation_level="REPEATABLE READ")) as conn, writing(made) as copied:
            for table in metadata.sorted_tables:
                for some in _rows(conn, table):
                    copied.execute(insert(table), some)
    finally:
        made.dispose()


def copy_in(engine: Engine, source: Path, *, replace: bool) -> None:
    """All that the copy holds, in one transaction. The copy is brought to the newest migration meanwhile.

    What was erased, or is to be, stays on record where it is newer than the copy. Raises Conflict when
    there is a collection already, unless it is to be replaced, or when the records of erasures are of two histories.
    """
    copied = make_engine(source)
    try:
        migrate(copied)
        with reading(copied) as said, writing(engine) as conn:
            there = conn.execute(select(func.count()).select_from(collections)).scalar_one()
            if there and not replace:
                raise Conflict(
                    f"the catalogue has {there} collections: restore into an empty one, or replace them by --force"
                )
            for table in reversed(metadata.sorted_tables):
                if table not in LASTING:
                    conn.execute(delete(table))
            for table in metadata.sorted_tables:
                known = _known(conn, table) if table in LASTING else {}
                for some in _rows(said, table) if table not in PASSING else ():
                    if new := [row for row in some if _is_new(table, row, known)]:
                        conn.execute(insert(table), new)
    finally:
        copied.dispose()


def _known(conn: Connection, table: Table) -> dict[tuple[Any, ...], Any]:
    """What is there already, by its key."""
    found = conn.execute(select(table)).mappings()
    return {_key(table, row): row for row in found}


def _key(table: Table, row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _is_new(table: Table, row: dict[str, Any], known: Mapping[tuple[Any, ...], Any]) -> bool:
    there = known.get(_key(table, row))
    if table is erasures and there is not None and there["hash"] != row["hash"]:
        raise Conflict(
            f"erasure {row['number']} of this catalogue is another than that of the copy: they are of two histories; "
            "restore into an empty catalogue"
        )
    return there is None


def _rows(conn: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """A table in pages, moments with their zone."""
    found = conn.execution_options(stream_results=True).execute(select(table))
    for page in found.mappings().partitions(ROWS):
        yield [{name: utc(v) if isinstance(v, datetime) else v for name, v in row.items()} for row in page]


class Copy(SqlCatalogue):
    """A catalogue that was copied out."""

    def digests(self) -> Iterator[tuple[Digest, int]]:
        """The bytes that an asset or a job has, in order, with their size; 0 where that is not known."""
        after: Digest | None = None
        while True:
            with reading(self.engine) as conn:
                page = _digests(conn, after)
            if not page:
                return
            yield from page
            after = page[-1][0]


def open_copy(source: Path) -> Copy:
    """A copy, brought to the newest migration."""
    engine = make_engine(source)
    migrate(engine)
    return Copy(engine, max_attempts=1)


def _digests(conn: Connection, after: Digest | None) -> list[tuple[Digest, int]]:
    each = union_all(
        select(assets.c.digest, assets.c.size).where(assets.c.removed_at.is_(None)),
        select(jobs.c.digest, literal(0).label("size")),
    ).subquery()
    query = select(each.c.digest, func.max(each.c.size)).group_by(each.c.digest).order_by(each.c.digest).limit(ROWS)
    if after is not None:
        query = query.where(each.c.digest > after)
    return [(Digest(row[0]), int(row[1])) for row in conn.execute(query)]
