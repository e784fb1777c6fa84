"""WebDataset tars as a source: neighbours of one key are a sample, its texts and JSON say what the rest is.

Read as a stream from beginning to end; nothing is ever written under a name from the archive. Format: the README of
webdataset, "The WebDataset Format": the key is the path up to the first dot of the last part.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from core.errors import CorruptMedia, Refused, TooLarge, UnsupportedMedia
from ingest.files import reading
from ingest.limits import Limits
from ingest.sources.folder import external_id
from ingest.sources.sidecar import ENDINGS, described, ending
from ingest.sources.upload import Spool, Upload, largest

ENDS = (".tar", ".tar.gz", ".tgz")
HEADER = 1 << 20  # bytes of a header's extension (PAX, long names), which tarfile reads into memory
MEMBERS = 64  # of a sample
CHUNK = 1 << 20
LABEL = ".cls"  # WebDataset's class label
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES[:2])
_GZIP = b"\x1f\x8b"


def is_tar(name: str) -> bool:
    """Whether a file of that name is read as a tar."""
    return name.lower().endswith(ENDS)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str  # as an external id within the archive
    source: Spool
    size: int

    @property
    def key(self) -> str:
        folder, slash, last = self.name.rpartition("/")
        return folder + slash + last.partition(".")[0]

    @property
    def ending(self) -> str:
        return LABEL if self.name.lower().endswith(LABEL) else ending(self.name)


def read_tar(source: BinaryIO, name: str, limits: Limits) -> Iterator[Upload | Refused]:
    """The assets of its samples, and faults in place of members that are none: links, devices, names that lead out,
    what is too large. An asset is called NAME/MEMBER. An archive that is damaged or cut off gives the samples before.
    """
    sample: list[_Member] = []
    try:
        for member in _members(source, name, limits):
            if isinstance(member, Refused):
                yield member
                continue
            if sample and sample[0].key != member.key:
                yield from _assets(sample, name, limits)
                sample = []
            if len(sample) == MEMBERS or sum(one.size for one in sample) + member.size > largest(limits):
                over = f"its sample has over {MEMBERS} members, or more bytes than a file may"
                yield TooLarge(f"{name}/{member.name}: {over}: divide it")
                continue
            sample.append(member)
    except Refused as exc:  # the sample that it ended in may lack its caption: it is left out
        yield exc
        return
    yield from _assets(sample, name, limits)


def _assets(sample: list[_Member], archive: str, limits: Limits) -> Iterator[Upload | Refused]:
    beside = [one for one in sample if one.ending]
    assets = [one for one in sample if not one.ending] or [one for one in beside if one.ending == ".txt"] or beside
    said: dict[str, Any] = {}
    try:
        for one in sorted(beside, key=lambda each: (*ENDINGS, LABEL).index(each.ending)):
            if one not in assets:
                said |= _said(one, archive, limits)
    except Refused as exc:
        yield exc
        return
    for one in assets:
        one.source.seek(0)
        yield Upload(f"{archive}/{one.name}", cast(BinaryIO, one.source), PurePosixPath(one.name).name, said)


def _said(member: _Member, archive: str, limits: Limits) -> dict[str, Any]:
    try:
        member.source.seek(0)
        data = member.source.read()
        if member.ending != LABEL:
            return described(member.name, data, limits)
        text = data.decode("utf-8", "replace").strip()
        return {LABEL[1:]: int(text) if text.removeprefix("-").isdecimal() else text}
    except Refused as exc:
        raise type(exc)(f"{archive}/{member.name}: {exc}") from exc


def _members(source: BinaryIO, archive: str, limits: Limits) -> Iterator[_Member | Refused]:
    most = largest(limits)
    last = "its beginning"
    packed = source.read(2) == _GZIP
    source.seek(0)
    with _damage(archive, lambda: last):
        stream = GzipFile(fileobj=source) if packed else source
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=_Info) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all; typeshed does not show it
                name = last = external_id(member.name)
                shown = f"{archive}/{name}"
                if member.isdir() or _hidden(name):
                    continue
                if (fault := _fault(member, name)) is not None:
                    yield UnsupportedMedia(f"{shown}: {fault}")
                elif member.size > most:
                    over = limits.over("media_bytes", f"{member.size:,} bytes")
                    if packed:
                        raise TooLarge(f"{shown}: {over}; what follows is not read, for it may be a bomb")
                    yield TooLarge(f"{shown}: {over}")
                else:
                    yield _Member(name, _spooled(tar, member), member.size)


def _fault(member: tarfile.TarInfo, name: str) -> str | None:
    if member.issym() or member.islnk():
        return "it is a link, which is not followed: put the file itself into the archive"
    if not member.isreg() or member.issparse():
        return "it is no regular file: only such are read"
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name or not parts[-1]:
        return "its name leads out of the archive: pack it again with relative names"
    return None


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _spooled(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Spool:
    spool = Spool()
    source = tar.extractfile(member)
    assert source is not None  # it is a regular file
    while chunk := source.read(CHUNK):
        spool.write(chunk)
    return spool


class _Info(tarfile.TarInfo):
    """A header that is looked at before tarfile acts on it.

    tarfile reads an extended header into memory, whatever its size, and takes a damaged one for the end.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Info:
        try:
            made = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two blocks of zeros, the true end; not in typeshed
            raise
        except tarfile.HeaderError as exc:
            raise CorruptMedia(f"{exc}" if buf else "it ends without its end mark") from exc
        if made.size < 0 or (made.type in _EXTENDED and made.size > HEADER):
            raise CorruptMedia(f"a header says {made.size:,} bytes")
        return made


@contextmanager
def _damage(archive: str, last: Any) -> Iterator[None]:
    """The seam of tarfile and gzip."""
    try:
        with reading():
            yield
    except (tarfile.TarError, EOFError, zlib.error, CorruptMedia) as exc:
        raise CorruptMedia(
            f"{archive}: damaged after {last()} ({exc}): the samples before are taken in; get another copy"
        ) from exc
