"""Names that were seen, in any number: on disk when they are many, gone with the last of its users."""

from __future__ import annotations

import sqlite3


class Seen:
    """Names, and where each was seen first. A private temporary database of SQLite: a million names take no memory."""

    def __init__(self) -> None:
        self._names = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._names.execute("PRAGMA journal_mode = OFF")
        self._names.execute("CREATE TABLE names (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")

    def first(self, name: str, place: str) -> str | None:
        """Note it; where it was seen before, if it was."""
        if self._names.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (name, place)).rowcount:
            return None
        found: tuple[str] = self._names.execute("SELECT place FROM names WHERE name = ?", (name,)).fetchone()
        return found[0]

    def has(self, name: str) -> bool:
        """Whether it was noted."""
        return self._names.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is not None

    def close(self) -> None:
        """Forget all. Harmless twice."""
        self._names.close()
