"""The book of erasures: their receipts once more, in a file beside the catalogue, for when that is lost or restored.

A line of JSON a receipt, in the order of the chain; appended under a lock, and on the disk when `keep` returns.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.erasing import Erasure, broken
from core.errors import CatalogueBroken, CatalogueDown, Conflict, Fault
from core.ports import Catalogue
from core.runtime.wiring import Parts

log = logging.getLogger(__name__)
NAME = "erasures.jsonl"


def book_of(parts: Parts) -> Book:
    """The one of the data folder."""
    return parts.also(Book, lambda: Book(parts.settings.data / NAME))


class Book:
    """Raises CatalogueDown when the file cannot be used, CatalogueBroken when it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: Erasure | None = None  # as far as it was read, to the byte below
        self._read = 0
        self._file = 0  # its inode
        self._said = ""

    def complain(self, fault: Fault) -> None:
        """Log what is wrong with it, once: nothing that is to be erased waits for that."""
        if str(fault) != self._said:
            self._said = str(fault)
            log.error("%s", fault)

    def close(self) -> None:
        """It holds nothing."""

    def keep(self, catalogue: Catalogue) -> int:
        """Bring the file up to the catalogue; how many lines that took."""
        with self._opened(create=True) as file:
            list(self._unread(file))
            fresh: list[Erasure] = []
            after = self._last.number if self._last is not None else 0
            while page := catalogue.erasures(None, after=after):
                fresh += page
                after = page[-1].number
            if (wrong := broken(fresh, self._last)) is not None:
                raise Conflict(f"{self._path} and the catalogue tell different stories: {wrong}")
            for erasure in fresh:
                file.write(json.dumps(erasure.as_dict(), ensure_ascii=False, sort_keys=True).encode() + b"\n")
                self._last = erasure
            file.flush()
            os.fsync(file.fileno())
            self._read = file.tell()
            return len(fresh)

    def ahead_of(self, catalogue: Catalogue) -> list[Erasure]:
        """What the file has and the catalogue has not. Raises Conflict when they differ in what both have."""
        newest = catalogue.last_erasure()
        if not self._path.exists():
            return []
        with self._opened(create=False) as file:
            list(self._unread(file))
            if self._last is None or (newest is not None and self._last.number < newest.number):
                return []
            if newest is not None and self._last.hash == newest.hash:
                return []
            self._read, self._last = 0, None
            number = newest.number if newest is not None else 0
            out: list[Erasure] = []
            for erasure in self._unread(file):
                if newest is not None and erasure.number == number and erasure.hash != newest.hash:
                    raise Conflict(
                        f"{self._path} and the catalogue tell different stories from receipt {number} on: move the "
                        "file away if the catalogue is right, or restore a copy of the catalogue"
                    )
                if erasure.number > number:
                    out.append(erasure)
            return out

    def all(self) -> list[Erasure]:
        """Every receipt in it."""
        if not self._path.exists():
            return []
        with self._opened(create=False) as file:
            self._read, self._last = 0, None
            return list(self._unread(file))

    def _unread(self, file: BinaryIO) -> Iterator[Erasure]:
        """The lines that others have written since, in their chain. Half a line is a killed writer's, and cut off."""
        now = os.fstat(file.fileno())
        if now.st_ino != self._file or now.st_size < self._read:  # another file than the last time
            self._file, self._read, self._last = now.st_ino, 0, None
        file.seek(self._read)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(self._read)
                break
            erasure = self._one(line)
            if (wrong := broken([erasure], self._last)) is not None:
                raise CatalogueBroken(f"{self._path} was changed ({wrong}): restore a copy of it, or move it away")
            self._read += len(line)
            self._last = erasure
            yield erasure
        file.seek(self._read)

    def _one(self, line: bytes) -> Erasure:
        try:
            return Erasure.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError) as exc:
            raise CatalogueBroken(
                f"{self._path} holds a line that is no receipt: restore a copy of it, or move it away"
            ) from exc

    @contextmanager
    def _opened(self, *, create: bool) -> Iterator[BinaryIO]:
        """The file, locked against other processes and threads."""
        try:
            if create:
                self._path.touch()
            with self._path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as exc:
            raise CatalogueDown(
                f"{self._path} cannot be used ({exc.strerror or exc}): check the folder and the disk"
            ) from exc
