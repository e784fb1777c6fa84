"""Restore: a backup read through and compared with its digests, and brought into whatever is set here.

Bytes come first and the catalogue last, in one transaction: killed before that, nothing was restored, and the same
command goes on. Then erasures are made good again, and every index is reconciled with the catalogue.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BlobsDown, Conflict, CorruptMedia
from core.runtime.wiring import Copy, Parts, open_copy
from core.types import Digest
from ingest.sources.seen import Seen
from workers.backup import Progress, Tell
from workers.erase import replay
from workers.manifest import CATALOGUE, LIST, SOURCES, Kept, Manifest, digests_in, entries, hashed, manifest_of
from workers.reconcile import Kind, reconcile
from workers.removal import clear, erase_unused
from workers.shelved import shelved
from workers.standing import signed

MARK = "restoring.json"  # in the data folder while a restore is under way


@dataclass(slots=True)
class Verified:
    """A backup that was read through."""

    place: str
    made_at: str
    collections: dict[str, int] = field(default_factory=dict)  # assets with points, over all tenants
    points: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    absent: int = 0  # bytes that were not there when it was made
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is missing or damaged."""
        return not self.problems


@dataclass(slots=True)
class Restored:
    """What a restore did."""

    made_at: str
    collections: list[str] = field(default_factory=list)
    blobs: int = 0
    points: int = 0
    drift: dict[Kind, int] = field(default_factory=dict)  # assets whose points did not fit, and are indexed again
    erased: int = 0  # erasures that were made good, since they are newer than the backup


def verify(place: Path, *, on_progress: Tell | None = None) -> Verified:
    """Read a whole backup and compare. Raises NoSuchPath, CorruptMedia when it is none, BlobsDown."""
    manifest = manifest_of(place)
    tell = on_progress or (lambda _: None)
    done = Verified(str(place), manifest.made_at, absent=len(manifest.absent))
    now = Progress("reading", 0, manifest.blobs + len(manifest.files))
    with _unpacked(place, manifest, None, done.problems) as (folder, wanted, files):
        done.problems += [f"{_what(manifest, name)} is missing" for name in manifest.files if name not in files]
        for entry in entries(place, manifest):
            digest = entry.digest
            if digest is None or not wanted.has(digest):
                continue
            kept = hashed(entry.source)
            wanted.strike(digest)
            if kept.sha256 != digest:
                done.problems.append(f"the bytes {digest} are damaged")
            else:
                done.blobs += 1
                done.blob_bytes += kept.bytes
            now.done += 1
            tell(now)
        done.problems += [f"the bytes {digest} are missing" for digest in wanted.left(100)]
        if files.get(CATALOGUE) == manifest.files[CATALOGUE]:
            with closing(open_copy(folder / CATALOGUE)) as copy:
                _count(copy, manifest, {name for name, kept in files.items() if kept == manifest.files[name]}, done)
    return done


def _count(copy: Copy, manifest: Manifest, whole: Container[str], done: Verified) -> None:
    """The points of each index whose file is whole against the receipts that the catalogue has."""
    held = {one.index: one for one in manifest.indexes}
    for collection in copy.collections():
        for index in copy.indexes(collection.name):
            receipts = [one.points for page in signed(copy, index) for one in page]
            done.collections[collection.name] = len(receipts)
            if (its := held.get(index.id)) is not None and its.file in whole:
                done.points += its.points
                if its.points > sum(receipts):
                    done.problems.append(f"{its.file} has {its.points} points, and the receipts {sum(receipts)}")


def _what(manifest: Manifest, name: str) -> str:
    """A file of the snapshot, and what is in it."""
    says = {CATALOGUE: "the catalogue", LIST: "which bytes there are", SOURCES: "what sources gave"}
    says |= {one.file: f"vectors of {one.collection}" for one in manifest.indexes}
    return f"{name} ({says[name]})" if name in says else name


class Wanted:
    """The digests that a backup is to have, each until it was seen."""

    def __init__(self) -> None:
        self._names, self._done = Seen(), Seen()
        self._all: Path | None = None

    def read(self, listed: Path) -> None:
        """Take them from the list."""
        self._all = listed
        for digest, _ in digests_in(listed):
            self._names.first(digest, "")

    def has(self, digest: Digest) -> bool:
        """Whether it is wanted."""
        return self._names.has(digest)

    def strike(self, digest: Digest) -> None:
        """It was seen."""
        self._done.first(digest, "")

    def left(self, most: int) -> Iterator[Digest]:
        """Some that were not."""
        for digest, _ in digests_in(self._all) if self._all else ():
            if not self._done.has(digest) and most:
                most -= 1
                yield digest

    def close(self) -> None:
        """Forget all."""
        self._names.close()
        self._done.close()


@contextmanager
def _unpacked(
    place: Path, manifest: Manifest, target: Path | None, problems: list[str]
) -> Iterator[tuple[Path, Wanted, dict[str, Kept]]]:
    """The snapshot's files, compared and copied: into `target`, or a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=target, prefix=".restoring-") as made, closing(Wanted()) as wanted:
        folder, files = Path(made), dict[str, Kept]()
        for entry in entries(place, manifest):
            name = entry.name.removeprefix(f"{manifest.folder}/")
            if name == entry.name or name not in manifest.files:
                continue
            try:
                with (folder / name).open("wb") as sink:
                    kept = hashed(entry.source, sink)
            except OSError as exc:
                raise BlobsDown(f"{folder} cannot be written ({exc.strerror or exc}): see to the disk") from exc
            files[name] = kept
            if kept != manifest.files[name]:
                problems.append(f"{_what(manifest, name)} is damaged")
        if files.get(LIST) == manifest.files[LIST]:
            wanted.read(folder / LIST)
        yield folder, wanted, files


def restore(parts: Parts, place: Path, *, force: bool = False, on_progress: Tell | None = None) -> Restored:
    """Bring a backup into the catalogue, the blobs and the store that are set, whichever those are.

    Nothing else may run meanwhile. Raises Conflict when there is a collection already, or an index of the same name,
    unless `force`: then all is replaced; CorruptMedia when the backup is damaged, NoSuchPath, and what the parts raise.
    """
    manifest = manifest_of(place)
    tell = on_progress or (lambda _: None)
    done = Restored(manifest.made_at)
    data = parts.settings.data
    data.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    filled = _is_filled(parts, manifest, force=force)
    with _unpacked(place, manifest, data, problems) as (folder, wanted, files):
        if problems or set(files) != set(manifest.files):
            missing = [f"{_what(manifest, name)} is missing" for name in manifest.files if name not in files]
            raise CorruptMedia(f"{place}: {'; '.join(problems + missing)}: use another backup")
        if not filled:
            (data / MARK).write_text(json.dumps({"snapshot": manifest.snapshot, "forced": force}))
            _bytes(parts, place, manifest, wanted, done, tell)
            _catalogue_and_points(parts, manifest, folder, done, tell, force=force)
        if SOURCES in files:
            shutil.copyfile(folder / SOURCES, data / SOURCES)
        else:
            (data / SOURCES).unlink(missing_ok=True)
    _mend(parts, done, tell)
    (data / MARK).unlink(missing_ok=True)
    return done


def _is_filled(parts: Parts, manifest: Manifest, *, force: bool) -> bool:
    """Whether a restore of this very backup into an empty catalogue was killed after it had filled that. Raises
    Conflict when something else is here."""
    if force:
        return False
    begun = _mark(parts, manifest)
    if known := parts.catalogue.collections():
        if begun and not begun.get("forced"):
            return True
        raise Conflict(
            f"there are {len(known)} collections here ({', '.join(each.name for each in known[:5])}): restore into an "
            "empty data folder, or replace them by --force"
        )
    there = set(parts.store.indexes()) & {one.index for one in manifest.indexes}
    if there and not begun:
        raise Conflict(
            f"the store has {min(there)!r} already, perhaps of another installation: use another store, or replace it "
            "by --force"
        )
    return False


def _mark(parts: Parts, manifest: Manifest) -> dict[str, Any]:
    """What a restore of this backup that did not end left."""
    try:
        said: dict[str, Any] = json.loads((parts.settings.data / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return said if said.get("snapshot") == manifest.snapshot else {}


def _catalogue_and_points(
    parts: Parts, manifest: Manifest, folder: Path, done: Restored, tell: Tell, *, force: bool
) -> None:
    before = [index.id for each in parts.catalogue.collections() for index in parts.catalogue.indexes(each.name)]
    with closing(open_copy(folder / CATALOGUE)) as copy:
        kept = _points(parts, copy, manifest, folder, done, tell)
    tell(Progress("catalogue"))
    with closing(parts.copy_catalogue(folder / "replaced.db")) as replaced:
        parts.fill_catalogue(folder / CATALOGUE, replace=force)
        for index_id in set(before) - kept:
            parts.store.drop(index_id)
        for digest, _ in replaced.digests():
            if not parts.catalogue.uses(digest):
                erase_unused(parts, [digest])


def _bytes(parts: Parts, place: Path, manifest: Manifest, wanted: Wanted, done: Restored, tell: Tell) -> None:
    now = Progress("bytes", 0, manifest.blobs)
    for entry in entries(place, manifest):
        digest = entry.digest
        if digest is None or not wanted.has(digest):
            continue
        if not parts.blobs.has(digest):
            put, _ = parts.blobs.put(entry.source)
            if put != digest:
                if not parts.catalogue.uses(put):
                    erase_unused(parts, [put])
                raise CorruptMedia(f"{place}: the bytes {digest[:12]} are damaged: use another backup")
        wanted.strike(digest)
        done.blobs += 1
        now.done += 1
        tell(now)
    if lost := list(wanted.left(3)):
        raise CorruptMedia(f"{place}: bytes are missing, as {lost[0][:12]}: use another backup")


def _points(parts: Parts, copy: Copy, manifest: Manifest, folder: Path, done: Restored, tell: Tell) -> set[str]:
    """Fill every index anew; their ids. What has no file in the backup is left to be embedded."""
    files = {one.index: one for one in manifest.indexes}
    kept: set[str] = set()
    for collection in copy.collections():
        for index in copy.indexes(collection.name):
            kept.add(index.id)
            parts.store.drop(index.id)
            parts.store.create(index)
            if (one := files.get(index.id)) is not None:
                now = Progress(f"vectors of {collection.name}", 0, one.points)
                for points in shelved(folder / one.file, index):
                    parts.store.upsert(index, points)
                    now.done += len(points)
                    tell(now)
                parts.store.flush(index)
                done.points += one.points
    return kept


def _mend(parts: Parts, done: Restored, tell: Tell) -> None:
    """What the backup could not know. What was erased since is erased again, before anything else; the rest is found
    by reconciling, and what lacks points is indexed again by whoever does that."""
    tell(Progress("erasures"))
    done.erased = len(replay(parts))
    clear(parts)
    done.collections = [each.name for each in parts.catalogue.collections()]
    for name in done.collections:
        tell(Progress(f"comparing {name}"))
        for kind, count in reconcile(parts, name, repair=True).counts.items():
            done.drift[kind] = done.drift.get(kind, 0) + count
