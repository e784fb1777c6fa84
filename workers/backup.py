"""Backup: the catalogue, the bytes it speaks of and the vectors its receipts stand for, while everything goes on.

The catalogue is copied as it is at one moment; the rest is what that copy speaks of. What changes meanwhile makes the
vectors newer or fewer than the copy says, which reconciling puts right after a restore; bytes are never changed.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from core.errors import BlobsDown, Conflict, NoSuchAsset, StoreLocked
from core.runtime.wiring import Copy, Parts
from core.types import Asset, Digest
from ingest.sources.seen import Seen
from workers.carried import keep, name_of
from workers.manifest import (
    BLOBS,
    CATALOGUE,
    LIST,
    NAME,
    SOURCES,
    Kept,
    Manifest,
    Shelved,
    digests_in,
    hashed,
    is_tar,
    sync,
)
from workers.shelved import Shelf
from workers.standing import signed, standing
from workers.supervise import alone

ROUNDS = 5  # of copying the catalogue again, since bytes went while they were copied


@dataclass(slots=True)
class Progress:
    """How far a backup, a check or a restore is: one stage after another."""

    stage: str = ""
    done: int = 0
    total: int | None = None


Tell = Callable[[Progress], None]


@dataclass(slots=True)
class BackedUp:
    """What a backup did."""

    place: str
    assets: int = 0  # with points, over all indexes
    points: int = 0
    blobs: int = 0
    new_blobs: int = 0  # that were not in the backup before
    absent: list[str] = field(default_factory=list)  # digests of bytes that are not there
    changing: int = 0  # assets whose points were just being changed: they are indexed again after a restore


def back_up(parts: Parts, place: Path, *, vectors: bool = True, on_progress: Tell | None = None) -> BackedUp:
    """Make a backup in a folder, where bytes that an earlier one has are not copied again, or in a file ending with
    .tar. What was there stays whole until the new one is. `vectors`: without them everything is embedded again after a
    restore. Raises BlobsDown when it cannot be written, StoreDown, CatalogueDown, CatalogueBroken, Conflict when the
    folder holds something else."""
    check_place(place)
    done = BackedUp(str(place))
    tell = on_progress or (lambda _: None)
    with _writing(place), _locked(place), _staged(place) as snapshot:
        if is_tar(place):
            _into_tar(parts, place, snapshot, done, tell, vectors=vectors)
        else:
            _into_folder(parts, place, snapshot, done, tell, vectors=vectors)
    return done


def check_place(place: Path) -> None:
    """Raises Conflict, BlobsDown: said before any work is done."""
    if is_tar(place):
        if place.is_dir() or not place.absolute().parent.is_dir():
            raise BlobsDown(f"{place} cannot be written: name a file in a folder that is there")
    elif place.exists() and (not place.is_dir() or (any(place.iterdir()) and not _is_ours(place))):
        raise Conflict(f"{place} holds something that is no backup: name another folder, or a file ending with .tar")


def _is_ours(place: Path) -> bool:
    """Whether a backup is there, or the beginning of one."""
    return (place / NAME).is_file() or all(
        path.name in (BLOBS, "lock") or path.name.startswith(("snapshot-", ".")) for path in place.iterdir()
    )


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """One backup at a time in a folder."""
    if is_tar(place):
        yield
        return
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(alone(place / "lock"))
        except StoreLocked as exc:
            raise Conflict(f"another backup into {place} is being made: wait for it") from exc
        yield


@contextmanager
def _staged(place: Path) -> Iterator[Path]:
    """The folder of the new snapshot: in its place, or beside the tar until that is written."""
    name = f"snapshot-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"
    parent = place.with_name(f".{place.name}.staged") if is_tar(place) else place
    if is_tar(place):
        shutil.rmtree(parent, ignore_errors=True)  # what a killed one left
        parent.mkdir(mode=0o700)
    (parent / name).mkdir(mode=0o700)
    try:
        yield parent / name
    except BaseException:
        shutil.rmtree(parent / name, ignore_errors=True)
        raise
    finally:
        if is_tar(place):
            shutil.rmtree(parent, ignore_errors=True)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BlobsDown(
            f"{place} cannot be written ({exc.strerror or exc}): see to the disk, then begin again"
        ) from exc


Carry = Callable[[Digest], tuple[int, bool]]  # the size, and whether it was new; NoSuchAsset


def _into_folder(parts: Parts, place: Path, snapshot: Path, done: BackedUp, tell: Tell, *, vectors: bool) -> None:
    blobs = place / BLOBS
    blobs.mkdir(exist_ok=True)

    def carry(digest: Digest) -> tuple[int, bool]:
        with parts.blobs.open(digest) as source:
            size = _size(source)
            return size, keep(blobs, digest, size, source)

    manifest = _snapshot(parts, snapshot, carry, done, tell, vectors=vectors)
    sync(snapshot)
    draft = place / f".{NAME}.part"
    draft.write_text(manifest.to_json(), encoding="utf-8")
    sync(draft)
    draft.replace(place / NAME)
    sync(place)
    tidy(place, manifest)


def tidy(place: Path, manifest: Manifest) -> None:
    """Delete what a folder's backup does not speak of: earlier snapshots, and bytes that were removed since."""
    for path in place.glob("snapshot-*"):
        if path.name != manifest.folder:
            shutil.rmtree(path, ignore_errors=True)
    with closing(Seen()) as wanted:
        for digest, _ in digests_in(place / manifest.folder / LIST):
            wanted.first(digest, "")
        for path in (place / BLOBS).glob("??/*"):
            if not wanted.has(path.name):
                path.unlink(missing_ok=True)


def _into_tar(parts: Parts, place: Path, snapshot: Path, done: BackedUp, tell: Tell, *, vectors: bool) -> None:
    draft = place.with_name(f".{place.name}.part")
    try:
        with closing(Seen()) as seen, tarfile.open(draft, "w") as tar:

            def carry(digest: Digest) -> tuple[int, bool]:
                with parts.blobs.open(digest) as source:
                    member = tarfile.TarInfo(f"{BLOBS}/{name_of(digest)}")
                    member.size = _size(source)
                    new = seen.first(digest, "") is None
                    if new:
                        tar.addfile(member, source)
                return member.size, new

            manifest = _snapshot(parts, snapshot, carry, done, tell, vectors=vectors)
            for name in manifest.files:
                tar.add(snapshot / name, f"{manifest.folder}/{name}")
            text = manifest.to_json().encode()
            member = tarfile.TarInfo(NAME)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        sync(draft)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def _size(source: BinaryIO) -> int:
    return source.seek(0, io.SEEK_END) - source.seek(0)


def _snapshot(parts: Parts, folder: Path, carry: Carry, done: BackedUp, tell: Tell, *, vectors: bool) -> Manifest:
    """Write the snapshot's files, and carry the bytes over."""
    now = Progress("catalogue")
    tell(now)
    copy, absent, carried_bytes = _catalogue_and_bytes(parts, folder, carry, done, tell)
    with closing(copy):
        indexes = _indexes(parts, copy, folder, done, tell) if vectors else []
    given = parts.settings.data / SOURCES
    if given.is_file():
        with closing(sqlite3.connect(given)) as source, closing(sqlite3.connect(folder / SOURCES)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
    files: dict[str, Kept] = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        with path.open("rb") as written:
            files[path.name] = hashed(written)
    done.absent = absent
    return Manifest(
        snapshot=folder.name.removeprefix("snapshot-"),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        release=version("quiver"),
        files=files,
        indexes=tuple(indexes),
        blobs=done.blobs,
        blob_bytes=carried_bytes,
        absent=tuple(absent),
    )


def _catalogue_and_bytes(
    parts: Parts, folder: Path, carry: Carry, done: BackedUp, tell: Tell
) -> tuple[Copy, list[str], int]:
    """A copy, and all bytes that it speaks of. Where some went meanwhile, with the asset that had them, it is copied
    once more: then it speaks of them no more."""
    for left in reversed(range(ROUNDS)):
        copy = parts.copy_catalogue(folder / CATALOGUE)
        now = Progress("bytes", 0, sum(1 for _ in copy.digests()))
        absent: list[str] = []
        went = False
        carried = done.blobs = 0
        with (folder / LIST).open("w", encoding="ascii") as listed:
            for digest, _ in copy.digests():
                try:
                    size, new = carry(digest)
                except NoSuchAsset:
                    absent.append(digest)
                    went = went or not parts.catalogue.uses(digest)
                else:
                    listed.write(f"{digest}\t{size}\n")
                    carried += size
                    done.blobs += 1
                    done.new_blobs += new
                now.done += 1
                tell(now)
        if not went or not left:
            break
        copy.close()
    return copy, absent, carried


def _indexes(parts: Parts, copy: Copy, folder: Path, done: BackedUp, tell: Tell) -> list[Shelved]:
    out: list[Shelved] = []
    there = set(parts.store.indexes())

    def changing(_: Asset) -> None:
        done.changing += 1

    for collection in copy.collections():
        for index in copy.indexes(collection.name):
            total = sum(one.points for page in signed(copy, index) for one in page)
            now = Progress(f"vectors of {collection.name}", 0, total)
            file = f"points-{len(out)}.db"
            shelf = Shelf(folder / file)
            assets = 0
            try:
                found = standing(copy, parts.store, index, on_missing=changing) if index.id in there else iter(())
                for _, points in found:
                    shelf.put(points)
                    assets += 1
                    now.done = shelf.count
                    tell(now)
                shelf.close()
            finally:
                shelf.abandon()
            done.points += shelf.count
            done.assets += assets
            out.append(
                Shelved(index=index.id, collection=collection.name, file=file, points=shelf.count, assets=assets)
            )
    return out
