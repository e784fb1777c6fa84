"""What a backup says of itself: its files and their digests. Where it lies, a folder or a tar, and reading it through.

manifest.json               written last: what it does not name is not part of the backup
blobs/ab/abcdef...          bytes, by their digest
snapshot-<name>/            the rest, of one moment each:
    catalogue.db            all of the catalogue, in SQLite
    blobs.tsv               digests and sizes
    points-<n>.db           an index (`workers.shelved`)
    sources.db              what sources gave, where something was ingested by this data folder
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from core.errors import BlobsDown, CorruptMedia, NoSuchPath
from core.types import Digest
from workers.carried import TAR, name_of

NAME = "manifest.json"
BLOBS = "blobs"
CATALOGUE, LIST, SOURCES = "catalogue.db", "blobs.tsv", "sources.db"
VERSION = 1
CHUNK = 1 << 20  # bytes
LONGEST = 64 << 20  # bytes of a manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """An index in a backup."""

    index: str
    collection: str
    file: str
    points: int
    assets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file of the snapshot."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole backup. `absent`: digests of bytes that were not there, as of what was imported without them."""

    snapshot: str
    made_at: str
    release: str
    files: dict[str, Kept]
    indexes: tuple[Shelved, ...]
    blobs: int
    blob_bytes: int
    absent: tuple[str, ...] = ()
    version: int = VERSION
    kind: str = field(default="quiver backup")

    @property
    def folder(self) -> str:
        """Where the snapshot's files are."""
        return f"snapshot-{self.snapshot}"

    def to_json(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """The inverse. Raises CorruptMedia."""
        try:
            said: dict[str, Any] = json.loads(text)
            if said["kind"] != "quiver backup" or said["version"] != VERSION:
                raise CorruptMedia(f"it is of version {said['version']}, and {VERSION} is read: upgrade")
            said["files"] = {str(name): Kept(**kept) for name, kept in said["files"].items()}
            said["indexes"] = tuple(Shelved(**one) for one in said["indexes"])
            said["absent"] = tuple(map(str, said["absent"]))
            made = cls(**said)
            names = [*made.files, *(one.file for one in made.indexes), made.folder]
            if any("/" in name or name.startswith(".") for name in names) or CATALOGUE not in made.files:
                raise CorruptMedia("its manifest names files where none can be: use another backup")
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise CorruptMedia(f"its manifest cannot be read ({exc}): use another backup") from exc
        return made


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup, open to be read once."""

    name: str
    size: int
    source: BinaryIO

    @property
    def digest(self) -> Digest | None:
        """Of a blob: what its name says."""
        folder, _, rest = self.name.partition("/")
        return Digest(rest.partition("/")[2]) if folder == BLOBS else None


def is_tar(place: Path) -> bool:
    """Whether a backup there is one file."""
    return place.suffix == TAR


def manifest_of(place: Path) -> Manifest:
    """Of a backup that is there. Raises NoSuchPath, CorruptMedia when it is none or not whole, BlobsDown."""
    with _reading(place):
        if not is_tar(place):
            if not (place / NAME).is_file():
                raise NoSuchPath(f"{place} holds no backup: `quiver backup {place}` makes one")
            return Manifest.from_json((place / NAME).read_bytes())
        if not place.is_file():
            raise NoSuchPath(f"there is no backup {place}: `quiver backup {place}` makes one")
        with tarfile.open(place, "r:") as tar:
            for member in tar:
                if member.name == NAME and member.isreg() and member.size <= LONGEST:
                    found = cast(BinaryIO, tar.extractfile(member))
                    return Manifest.from_json(found.read())
    raise CorruptMedia(f"{place} is no whole backup, for its manifest is missing: use another")


def entries(place: Path, manifest: Manifest) -> Iterator[Entry]:
    """Its files: the snapshot's first, then the blobs that it names. Raises CorruptMedia, BlobsDown."""
    with _reading(place):
        if is_tar(place):
            with tarfile.open(place, "r:") as tar:
                for member in tar:
                    if member.isreg() and member.name != NAME:
                        yield Entry(member.name, member.size, cast(BinaryIO, tar.extractfile(member)))
            return
        listed = place / manifest.folder / LIST
        for path in (*(place / manifest.folder / name for name in manifest.files),):
            if path.is_file():
                with path.open("rb") as source:
                    yield Entry(f"{manifest.folder}/{path.name}", path.stat().st_size, source)
        for digest, _ in digests_in(listed):
            path = place / BLOBS / name_of(digest)
            if path.is_file():
                with path.open("rb") as source:
                    yield Entry(f"{BLOBS}/{name_of(digest)}", path.stat().st_size, source)


def digests_in(listed: Path) -> Iterator[tuple[Digest, int]]:
    """What `blobs.tsv` says. Raises CorruptMedia."""
    with listed.open(encoding="ascii") as lines:
        for line in lines:
            digest, _, size = line.rstrip("\n").partition("\t")
            if len(digest) != 64 or not digest.isalnum() or not size.isdigit():
                raise CorruptMedia(f"{listed.name} is damaged: use another backup")
            yield Digest(digest), int(size)


def hashed(source: BinaryIO, sink: BinaryIO | None = None) -> Kept:
    """Read it to its end, and write it on."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if sink is not None:
            sink.write(chunk)
    return Kept(bytes=size, sha256=digest.hexdigest())


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as exc:
        raise CorruptMedia(f"{place} is no whole backup ({exc}): use another") from exc
    except OSError as exc:
        raise BlobsDown(f"{place} cannot be read: {exc.strerror or exc}") from exc
