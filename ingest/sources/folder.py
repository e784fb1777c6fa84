"""Files and folders as a source."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import time

from core.errors import Conflict, NoSuchPath, Refused
from core.types import Metadata
from ingest.files import opened, printable
from ingest.sources.pick import Pick
from ingest.sources.sidecar import ENDINGS, Sidecar, paired

SETTLED = 2.0  # seconds after which what is written next has another time on any file system
EVERYTHING = Pick()

Inodes = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be ingested."""

    external_id: str
    path: Path
    metadata: Metadata = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()

    @property
    def mark(self) -> str:
        """Changes when the file does. Empty: it cannot be looked at, or is so young that it may change unseen."""
        return stamp(self.path)


def external_id(relative: str) -> str:
    """A path as an external id: POSIX, Unicode NFC, so that the same tree has the same ids on every system."""
    if relative.isascii():
        return relative
    return unicodedata.normalize("NFC", printable(relative.replace(os.sep, "/")))


def stamp(path: Path) -> str:
    """Size, times and inode, as rsync and git compare them; empty within SETTLED of a change, and of what is away."""
    try:
        said = path.stat()
    except (OSError, ValueError):
        return ""
    if time() - said.st_ctime < SETTLED:  # the system's time of the last change, which no tool sets
        return ""
    return f"{said.st_size}.{said.st_mtime_ns}.{said.st_ctime_ns}.{said.st_ino}"


def is_young(path: Path) -> bool:
    """Whether it changed within SETTLED, and so may still be being written."""
    try:
        return time() - path.stat().st_ctime < SETTLED
    except (OSError, ValueError):
        return False


def one(path: Path, *, sidecars: bool = False) -> Iterator[Found | Refused]:
    """The file of that path; with `sidecars`, those beside it come with it."""
    yield Found(external_id(path.name), path, {}, _of_file(path) if sidecars else ())


def walk(root: Path, *, pick: Pick = EVERYTHING, sidecars: bool = False) -> Iterator[Found | Refused]:
    """Every file below a folder, sorted by external id, each folder listed when it is reached.

    Hidden files and folders are skipped unless given by name, and a link to a folder that holds it is not followed.
    A folder that cannot be listed is a fault in its place, and so is the second of two names that would be one id.
    With `sidecars`, those of a file come with it instead of by themselves.
    """
    levels = [_entries(root, "", frozenset(), pick, sidecars)]  # not recursive: a tree may be deeper than the stack
    while levels:
        step = next(levels[-1], None)
        if step is None:
            levels.pop()
        elif isinstance(step, _Folder):
            levels.append(_entries(step.path, step.name, step.above, pick, sidecars))
        else:
            yield step


def require(path: Path) -> None:
    """Raises NoSuchPath when there is nothing there, or it may not be seen."""
    try:
        path.stat()
    except FileNotFoundError as exc:
        raise NoSuchPath(f"{printable(str(path))}: there is no such file or folder") from exc
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        raise NoSuchPath(f"{printable(str(path))}: {exc}: check the path and its permissions") from exc


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    name: str
    above: Inodes


def _entries(folder: Path, name: str, above: Inodes, pick: Pick, sidecars: bool) -> Iterator[Found | Refused | _Folder]:
    """What lies in one folder. A folder sorts as if its name ended with `/`: so all ids come sorted."""
    try:
        status = folder.stat()
        listed = sorted(
            (external_id(entry.name) + "/" * _is_folder(entry), entry.name)
            for entry in list(os.scandir(folder))
            if not entry.name.startswith(".")
        )
    except OSError as exc:
        shown = printable(str(folder))
        yield NoSuchPath(f"{shown}: cannot be listed ({exc.strerror or exc}): check the folder and its permissions")
        return
    inside = above | {(status.st_dev, status.st_ino)}
    files = [said for key, said in listed if not key.endswith("/")]
    beside = paired(files) if sidecars else dict.fromkeys(files, ())
    last, kept = "", ""
    for key, said in listed:
        if key == last:
            yield Conflict(f"{printable(str(folder / said))} and {kept} would both be {name + key!r}: rename one")
            continue
        path = folder / said
        last, kept = key, printable(str(path))
        if key.endswith("/"):
            if pick.enters(name + key[:-1]) and not _loops(path, inside):
                yield _Folder(path, name + key, inside)
        elif said in beside and pick.takes(name + key):
            yield Found(name + key, path, {}, tuple(_sidecar(folder / each) for each in beside[said]))


def _of_file(path: Path) -> tuple[Sidecar, ...]:
    names = [path.name, *(base + kind for kind in ENDINGS for base in (path.stem, path.name))]
    there = [name for name in dict.fromkeys(names) if name == path.name or path.with_name(name).is_file()]
    return tuple(_sidecar(path.with_name(each)) for each in paired(there).get(path.name, ()))


def _sidecar(path: Path) -> Sidecar:
    return Sidecar(printable(path.name), partial(opened, path), stamp(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # it may not be looked at: its draft says so
        return False


def _loops(path: Path, above: Inodes) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in above
