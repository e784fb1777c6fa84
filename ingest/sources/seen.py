"""Names that were seen, in any number: on disk when they are many, gone with the last of its users."""

from __future__ import annotations

import sqlite3

FEW = 10_000  # names that are held in memory: a megabyte


class Seen:
    """Names, and where each was seen first. Many are in a private temporary database of SQLite: a million names take no
    memory, and of a thousand sources none has a database of its own."""

    def __init__(self) -> None:
        self._few: dict[str, str] = {}
        self._many: sqlite3.Connection | None = None

    def first(self, name: str, place: str) -> str | None:
        """Note it; where it was seen before, if it was."""
        if self._many is None:
            if (before := self._few.get(name)) is not None:
                return before
            self._few[name] = place
            if len(self._few) > FEW:
                self._many = _database(self._few)
                self._few = {}
            return None
        if self._many.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (name, place)).rowcount:
            return None
        found: tuple[str] = self._many.execute("SELECT place FROM names WHERE name = ?", (name,)).fetchone()
        return found[0]

    def has(self, name: str) -> bool:
        """Whether it was noted."""
        if self._many is None:
            return name in self._few
        return self._many.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is not None

    def close(self) -> None:
        """Forget all. Harmless twice."""
        self._few = {}
        if self._many is not None:
            self._many.close()


def _database(names: dict[str, str]) -> sqlite3.Connection:
    made = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    made.execute("PRAGMA journal_mode = OFF")
    made.execute("CREATE TABLE names (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
    made.executemany("INSERT INTO names VALUES (?, ?)", names.items())
    return made
