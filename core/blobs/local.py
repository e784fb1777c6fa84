"""Bytes by digest in a folder: written aside, synced, renamed into place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from core.errors import BlobsDown, NoSuchAsset
from core.types import Digest

CHUNK = 1 << 20  # bytes


class LocalBlobs:
    """`Blobs` of core.ports over `root/ab/abcdef...`. What is discarded lies in `root/discarded`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside, self._discarded = root / "incoming", root / "discarded"
        with _translated(root):
            for folder in (self._aside, self._discarded):
                folder.mkdir(parents=True, exist_ok=True)

    def put(self, source: BinaryIO) -> tuple[Digest, int]:
        """Port."""
        aside = self._aside / uuid4().hex
        with _translated(self._root):
            try:
                with aside.open("wb") as out:
                    hashed, size = hashlib.sha256(), 0
                    while chunk := source.read(CHUNK):
                        hashed.update(chunk)
                        size += out.write(chunk)
                    digest = Digest(hashed.hexdigest())
                    place = self._place(digest)
                    if place.exists():
                        return digest, size
                    out.flush()
                    os.fsync(out.fileno())
                place.parent.mkdir(exist_ok=True)
                aside.replace(place)
                _sync(place.parent)
            finally:
                aside.unlink(missing_ok=True)
        return digest, size

    def open(self, digest: Digest) -> BinaryIO:
        """Port."""
        try:
            return self._place(digest).open("rb")
        except FileNotFoundError as exc:
            raise NoSuchAsset(
                f"the blob store has no bytes {digest[:12]}: ingest the file again, then `quiver failures retry`"
            ) from exc
        except OSError as exc:
            raise BlobsDown(f"{self._root}: {exc.strerror}") from exc

    def has(self, digest: Digest) -> bool:
        """Port."""
        return self._place(digest).exists()

    def path(self, digest: Digest) -> Path | None:
        """Port."""
        place = self._place(digest)
        return place if place.exists() else None

    def discard(self, digest: Digest) -> None:
        """Port."""
        with _translated(self._root):
            if self.has(digest):
                self._place(digest).replace(self._discarded / digest)

    def restore(self, digest: Digest) -> None:
        """Port."""
        gone = self._discarded / digest
        with _translated(self._root):
            if gone.exists():
                place = self._place(digest)
                place.parent.mkdir(exist_ok=True)
                gone.replace(place)

    def erase(self, digest: Digest) -> None:
        """Port."""
        with _translated(self._root):
            (self._discarded / digest).unlink(missing_ok=True)

    def _place(self, digest: Digest) -> Path:
        return self._root / digest[:2] / digest


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BlobsDown(f"{root} cannot be read or written: {exc.strerror or exc}") from exc


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
