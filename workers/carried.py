"""Bytes carried beside an export: files of a folder, or members of a tar, named by their digest as `ab/abcdef...`."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from core.errors import BlobsDown, CorruptMedia, NoSuchAsset, NoSuchPath
from core.ports import Blobs
from core.types import Digest
from ingest.sources.seen import Seen

CHUNK = 1 << 20  # bytes
TAR = ".tar"
END = 1024  # zeros at the end of every tar


def name_of(digest: Digest) -> str:
    """Where the bytes of that digest are, in the folder or tar."""
    return f"{digest[:2]}/{digest}"


@contextmanager
def _writing(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BlobsDown(f"{where} cannot be written ({exc.strerror or exc}): see to the disk") from exc


class Carrier:
    """Writes bytes, each once; in a folder, what is there already stays. Without a place it does nothing.

    Leaving the block in order finishes the tar, which has its name only then.
    """

    def __init__(self, blobs: Blobs, place: Path | None) -> None:
        self._blobs, self._place = blobs, place
        self._seen = Seen()
        self._tar: tarfile.TarFile | None = None
        self.carried = 0
        self.missing = 0

    def __enter__(self) -> Carrier:
        if self._place is not None:
            with _writing(self._place):
                if self._place.suffix == TAR:
                    self._tar = tarfile.open(self._draft(self._place), "w")  # closed when the block ends
                else:
                    self._place.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._seen.close()
        if self._tar is None or self._place is None:
            return
        draft = self._draft(self._place)
        with _writing(self._place):
            self._tar.close()
            if kind is None:
                with draft.open("rb") as written:
                    os.fsync(written.fileno())
                draft.replace(self._place)
            else:
                draft.unlink(missing_ok=True)

    def carry(self, digest: Digest, size: int) -> None:
        """Bytes of that digest, of so many. Those that are not there are counted. Raises BlobsDown."""
        if self._place is None or self._seen.first(digest, ""):
            return
        try:
            source = self._blobs.open(digest)
        except NoSuchAsset:
            self.missing += 1
            return
        with source:
            if self._tar is None:
                keep(self._place, digest, size, source)
            else:
                member = tarfile.TarInfo(name_of(digest))
                member.size = size
                with _writing(self._place):
                    self._tar.addfile(member, source)
        self.carried += 1

    @staticmethod
    def _draft(place: Path) -> Path:
        return place.with_name(f".{place.name}.part")


def keep(folder: Path, digest: Digest, size: int, source: BinaryIO) -> bool:
    """Bytes as a durable file of a folder, unless it is there in that size; whether it was written.

    Raises BlobsDown, and CorruptMedia when they are not those of the digest.
    """
    place = folder / name_of(digest)
    if place.is_file() and place.stat().st_size == size:
        return False
    draft = place.with_name(f".{digest}.part")
    with _writing(folder):
        place.parent.mkdir(parents=True, exist_ok=True)
        hashed = hashlib.sha256()
        try:
            with draft.open("wb") as out:
                while chunk := source.read(CHUNK):
                    hashed.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            if hashed.hexdigest() != digest:
                raise CorruptMedia(f"the bytes {digest[:12]} are damaged where they are kept: ingest the file again")
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
    return True


def _check_end(tar: Path) -> None:
    """Raises EOFError unless its last bytes are those of a tar's end, which `tarfile` does not miss."""
    with tar.open("rb") as whole:
        whole.seek(-min(END, tar.stat().st_size), os.SEEK_END)
        if whole.read() != bytes(END):
            raise EOFError("its end is missing")


class Carried:
    """Reads what a `Carrier` wrote. Raises NoSuchPath, and CorruptMedia when it is no whole tar."""

    def __init__(self, place: Path) -> None:
        self._folder = place
        self._tar: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}
        if place.is_dir():
            return
        if not place.is_file():
            raise NoSuchPath(f"there is no folder or tar {place}: name what --blobs wrote")
        try:
            with self._reading():
                self._tar = tarfile.open(place, "r:")  # noqa: SIM115  # closed by `close`
                self._members = {member.name: member for member in self._tar if member.isreg()}
                _check_end(place)
        except BaseException:
            self.close()
            raise

    def open(self, digest: Digest) -> BinaryIO | None:
        """The bytes of that digest, to be read; None when they are not there."""
        with self._reading():
            if self._tar is None:
                place = self._folder / name_of(digest)
                return place.open("rb") if place.is_file() else None
            member = self._members.get(name_of(digest))
            found = None if member is None else self._tar.extractfile(member)
            return cast(BinaryIO, found) if found is not None else None

    def close(self) -> None:
        """Harmless twice."""
        if self._tar is not None:
            self._tar.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError) as exc:
            raise CorruptMedia(f"{self._folder} is no whole tar ({exc}): write it again") from exc
        except OSError as exc:
            raise BlobsDown(f"{self._folder} cannot be read: {exc.strerror or exc}") from exc
