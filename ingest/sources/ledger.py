"""What each source gave: which asset, and how the file looked then.

It says what need not be read again, and what a source gave once and has no more. The catalogue stays the truth: each
answer is compared with it, and a ledger that is lost costs reading all once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from core.errors import CatalogueBroken, CatalogueDown
from core.types import AssetId

WAIT = 30.0  # seconds for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS given (
    scope TEXT NOT NULL,        -- tenant and collection
    external_id TEXT NOT NULL,
    source TEXT NOT NULL,       -- the last that gave it
    mark TEXT NOT NULL,         -- empty: read it again
    asset TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (scope, external_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ix_given_scope_source ON given (scope, source);
"""


@dataclass(frozen=True, slots=True)
class Given:
    """An asset as a source gave it."""

    external_id: str
    mark: str
    asset: AssetId
    generation: int


class Ledger:
    """A database of SQLite. Raises CatalogueDown when it cannot be written, CatalogueBroken when it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(path, timeout=WAIT, check_same_thread=False, isolation_level=None)
        try:
            with self._translated():
                self._rows.execute("PRAGMA journal_mode = WAL")
                self._rows.execute("PRAGMA synchronous = NORMAL")
                self._rows.executescript(_TABLES)
        except BaseException:
            self._rows.close()
            raise

    def known(self, scope: str, source: str, names: Sequence[str]) -> dict[str, Given]:
        """Those of these that this source gave last, by external id."""
        marks = ",".join("?" * len(names))
        query = (
            "SELECT external_id, mark, asset, generation FROM given "  # noqa: S608  # only question marks are put in
            f"WHERE scope = ? AND source = ? AND external_id IN ({marks})"
        )
        with self._translated():
            return {row[0]: _given(row) for row in self._rows.execute(query, (scope, source, *names))}

    def keep(self, scope: str, source: str, given: Iterable[Given]) -> None:
        """Note what was registered just now: from now on it is this source's."""
        rows = [(scope, g.external_id, source, g.mark, str(g.asset), g.generation) for g in given]
        with self._translated(), self._changing():
            self._rows.executemany("INSERT OR REPLACE INTO given VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget(self, scope: str, source: str, names: Iterable[str]) -> None:
        """Strike out what this source gave."""
        rows = [(scope, source, name) for name in names]
        with self._translated(), self._changing():
            self._rows.executemany("DELETE FROM given WHERE scope = ? AND source = ? AND external_id = ?", rows)

    def erase(self, scope: str, names: Iterable[str], assets: Iterable[AssetId], *, whole: bool) -> int:
        """Strike out whatever any source gave under these names or as these assets, or all of a scope; how many. What
        was written of them is overwritten in the file, too."""
        with self._translated():
            self._rows.execute("PRAGMA secure_delete = ON")
            before = self._rows.total_changes
            with self._changing():
                if whole:
                    self._rows.execute("DELETE FROM given WHERE scope = ?", (scope,))
                self._rows.executemany(
                    "DELETE FROM given WHERE scope = ? AND external_id = ?", [(scope, name) for name in names]
                )
                self._rows.executemany(
                    "DELETE FROM given WHERE scope = ? AND asset = ?", [(scope, str(asset)) for asset in assets]
                )
            struck = self._rows.total_changes - before
            self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return struck

    def all(self, scope: str, source: str) -> Iterator[Given]:
        """What this source gave, by external id."""
        query = (
            "SELECT external_id, mark, asset, generation FROM given WHERE scope = ? AND source = ? ORDER BY external_id"
        )
        with self._translated():
            yield from map(_given, self._rows.execute(query, (scope, source)))

    def close(self) -> None:
        """Let go of the file. Harmless twice."""
        self._rows.close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._rows.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._rows.execute("ROLLBACK")
            raise
        self._rows.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The seam of SQLite."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as exc:
            raise CatalogueDown(
                f"the ledger {self._path} cannot be used ({exc}): check the folder and the disk"
            ) from exc
        except sqlite3.DatabaseError as exc:
            raise CatalogueBroken(
                f"the ledger {self._path} is damaged ({exc}): delete it; then all is read once more, and what vanished "
                "before is not pruned"
            ) from exc


def _given(row: tuple[str, str, str, int]) -> Given:
    return Given(row[0], row[1], AssetId(UUID(row[2])), row[3])
