"""Files and folders as a source."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Conflict, NoSuchPath
from core.types import Metadata
from ingest.files import printable


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be ingested."""

    external_id: str
    path: Path
    metadata: Metadata = field(default_factory=dict)


def external_id(relative: str) -> str:
    """A path as an external id: POSIX, Unicode NFC, so that the same tree has the same ids on every system."""
    return unicodedata.normalize("NFC", printable(relative.replace(os.sep, "/")))


def walk(paths: Sequence[Path]) -> Iterator[Found]:
    """Every file of the paths given, folders recursively; inputs in their order, each sorted by external id.

    Hidden files and folders are skipped unless given by name, and a link to a folder that holds it is not followed.
    A folder that cannot be listed is found itself, for its draft to be refused. All is listed before the first is
    returned. Raises NoSuchPath, Conflict when two different files would have one external id.
    """
    require(paths)
    found: dict[str, Path] = {}
    for given in paths:
        for name, path in sorted(_files(given)):
            other = found.setdefault(name, path)
            if other != path and not _same(other, path):
                raise Conflict(
                    f"{printable(str(other))} and {printable(str(path))} would both be {name!r}: "
                    "ingest a folder that holds both, or name them in a manifest"
                )
    return (Found(name, path) for name, path in found.items())


def require(paths: Sequence[Path]) -> None:
    """Raises NoSuchPath when there is nothing at one of them, or it may not be seen."""
    for path in paths:
        try:
            path.stat()
        except FileNotFoundError as exc:
            raise NoSuchPath(f"{printable(str(path))}: there is no such file or folder") from exc
        except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
            raise NoSuchPath(f"{printable(str(path))}: {exc}: check the path and its permissions") from exc


def _files(given: Path) -> Iterator[tuple[str, Path]]:
    if not given.is_dir():
        yield external_id(given.name), given
        return
    waiting = [(given, frozenset[tuple[int, int]]())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            entries = list(os.scandir(folder))
        except OSError:
            yield _named(given, folder), folder
            continue
        inside = above | {(status.st_dev, status.st_ino)}
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                yield _named(given, path), path
            elif not _loops(path, inside):
                waiting.append((path, inside))


def _named(given: Path, path: Path) -> str:
    return external_id(str(path.relative_to(given))) if path != given else external_id(path.resolve().name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # it may not be looked at: its draft says so
        return False


def _loops(path: Path, above: frozenset[tuple[int, int]]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in above


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
