"""Regular files, opened without ever waiting for a writer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import CorruptMedia, NoSuchPath, UnsupportedMedia

_KINDS = (
    (stat.S_ISDIR, "a folder: give its path to ingest, and check that it may be listed"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, for reading. Raises NoSuchPath when it cannot be opened, UnsupportedMedia when it is no regular one."""
    try:
        _refuse_special(path.stat().st_mode)  # before opening: opening a device may do something
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise NoSuchPath("there is no such file") from exc
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise NoSuchPath(f"cannot be opened ({why}): check the path and its permissions") from exc
    with os.fdopen(handle, "rb") as file:
        _refuse_special(os.fstat(handle).st_mode)  # it may be another one by now
        yield file


@contextmanager
def named(path: Path) -> Iterator[BinaryIO]:
    """The same, its faults told with the path: for files that people name, one of several perhaps."""
    try:
        with opened(path) as file:
            yield file
    except (NoSuchPath, UnsupportedMedia) as exc:
        raise type(exc)(f"{printable(str(path))}: {exc}") from exc


@contextmanager
def reading() -> Iterator[None]:
    """The seam for reading what was opened: an OSError becomes CorruptMedia."""
    try:
        yield
    except OSError as exc:
        raise CorruptMedia(f"cannot be read to its end ({exc.strerror or exc}): check the disk or the share") from exc


def printable(name: str) -> str:
    """A file name that can be encoded: bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _refuse_special(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = next((what for test, what in _KINDS if test(mode)), "a special file")
    raise UnsupportedMedia(f"it is {what}; only regular files are read")
