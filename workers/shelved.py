"""The points of an index in one file of SQLite: how a backup keeps them, for whatever store they are to come back into.

A store's own files would bring its search graph along, and bind a backup to that store and its release.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np

from core.errors import BlobsDown, CorruptMedia
from core.points import Column, Points, Stored
from core.records import Index
from core.spaces import EmbeddingSpace, Sparse, Vector, batched

MOST = 256  # points read at once
_TABLES = """
CREATE TABLE points (number INTEGER PRIMARY KEY, id BLOB NOT NULL, payload TEXT NOT NULL);
CREATE TABLE vectors (
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    at BLOB,               -- indices as little-endian u4, of a sparse vector
    numbers BLOB NOT NULL, -- little-endian f4
    PRIMARY KEY (number, name)
) WITHOUT ROWID;
"""


class Shelf:
    """A new file. Raises BlobsDown when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        with self._writing():
            path.unlink(missing_ok=True)
            self._rows = sqlite3.connect(path, isolation_level=None)
            self._rows.execute("PRAGMA page_size = 32768")  # several vectors to a page: half the size
            # What is half written is begun again: nothing has to be recovered.
            self._rows.execute("PRAGMA journal_mode = OFF")
            self._rows.execute("PRAGMA synchronous = OFF")
            self._rows.executescript(_TABLES)
            self._rows.execute("BEGIN")

    def put(self, points: Iterable[Stored]) -> None:
        """Add points."""
        with self._writing():
            for point in points:
                payload = json.dumps(dict(point.payload), ensure_ascii=False)
                self._rows.execute("INSERT INTO points VALUES (?, ?, ?)", (self.count, point.id.bytes, payload))
                rows = [(self.count, name, *_packed(vector)) for name, vector in point.vectors.items()]
                self._rows.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
                self.count += 1

    def close(self) -> None:
        """All of it is durable on return."""
        with self._writing():
            self._rows.execute("COMMIT")
            self._rows.close()
            with self._path.open("rb") as written:
                os.fsync(written.fileno())

    def abandon(self) -> None:
        """Harmless after `close`."""
        self._rows.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise BlobsDown(f"{self._path} cannot be written ({exc}): see to the disk, then begin again") from exc


def shelved(path: Path, index: Index) -> Iterator[Points]:
    """The points of such a file in batches, with the vectors of the index' spaces. Raises CorruptMedia."""
    spaces = {space.vector_name: space for space in index.spaces}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as rows:
            after = -1
            while batch := rows.execute(
                "SELECT number, id, payload FROM points WHERE number > ? ORDER BY number LIMIT ?", (after, MOST)
            ).fetchall():
                first, after = batch[0][0], batch[-1][0]
                held: dict[EmbeddingSpace, tuple[list[int], list[Vector]]] = {}
                for number, name, at, numbers in rows.execute(
                    "SELECT number, name, at, numbers FROM vectors WHERE number BETWEEN ? AND ? ORDER BY number",
                    (first, after),
                ):
                    if name in spaces:
                        its = held.setdefault(spaces[name], ([], []))
                        its[0].append(number - first)  # numbers have no gaps
                        its[1].append(_unpacked(at, numbers))
                yield Points(
                    ids=[UUID(bytes=row[1]) for row in batch],
                    payloads=[json.loads(row[2]) for row in batch],
                    columns={space: Column(at, batched(vectors)) for space, (at, vectors) in held.items()},
                )
    except (sqlite3.Error, ValueError) as exc:
        raise CorruptMedia(f"{path.name} is damaged ({exc}): use another backup") from exc


def _packed(vector: Vector) -> tuple[bytes | None, bytes]:
    if isinstance(vector, Sparse):
        return vector.indices.astype("<u4").tobytes(), vector.values.astype("<f4").tobytes()
    return None, vector.astype("<f4").tobytes()


def _unpacked(at: bytes | None, numbers: bytes) -> Vector:
    values = np.frombuffer(numbers, "<f4").astype(np.float32)
    return values if at is None else Sparse(np.frombuffer(at, "<u4").astype(np.uint32), values)
