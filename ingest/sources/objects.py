"""Objects at a URL as a source: S3, Google Cloud Storage, a web server, and whatever else fsspec speaks to.

For the operator alone: nothing here asks whether an address may be reached. Credentials come from where the store's own
tools have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader, RawIOBase
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.core import url_to_fs
from fsspec.spec import AbstractFileSystem

from core.errors import BadQuery, Fault, MissingExtra, NoSuchPath, Refused, RemoteFailed, TooLarge
from core.types import Metadata
from ingest.limits import Limits
from ingest.sources.folder import EVERYTHING, external_id
from ingest.sources.pick import Pick
from ingest.sources.row import Item
from ingest.sources.sidecar import Sidecar, paired
from ingest.sources.stored import Stored
from ingest.sources.upload import Spool, largest
from ingest.sources.url import Remote, url_id

CHUNK = 1 << 20
WEB = ("http", "https")
GONE = (404, 410)
_EXTRA = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")


class Objects:
    """What is at a URL. Raises BadQuery for a scheme nobody knows, MissingExtra."""

    def __init__(self, url: str, limits: Limits) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in fsspec.available_protocols():
            raise BadQuery(f"{scheme}:// is not known: use a path, s3://, gs://, https:// or qdrant://")
        self.url, self._limits = url, limits
        try:
            with _translated(url):
                self._files, self._root = cast(tuple[AbstractFileSystem, str], url_to_fs(url))
        except ImportError as exc:
            extra = _EXTRA.get(scheme)
            how = f"pip install 'quiver[{extra}]'" if extra else str(exc)
            raise MissingExtra(f"{scheme}:// needs a package that is not installed: {how}") from exc

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """A stream over the object itself, which may be large. Raises NoSuchPath, RemoteFailed."""
        with _translated(self.url):
            raw = self._files.open(self._root, "rb")
        with BufferedReader(_Raw(raw, self.url), CHUNK) as stream:
            yield stream

    def named(self) -> list[str]:
        """The URLs that one with `*` in it stands for, sorted; itself without. Raises NoSuchPath, RemoteFailed."""
        if "*" not in self._root:
            return [self.url]
        with _translated(self.url):
            found = sorted(map(str, self._files.glob(self._root)))
        if not found:
            raise NoSuchPath(f"{url_id(self.url)}: nothing has such a name")
        return [self._url(path) for path in found]

    def listed(self, *, pick: Pick = EVERYTHING, sidecars: bool = False) -> Iterator[Item | Refused]:
        """The object, or every object below it, a folder listed when it is reached; called by their URLs.

        Hidden ones are skipped, as in folders. What cannot be listed is a fault in its place. Raises NoSuchPath when
        nothing is there, RemoteFailed.
        """
        with _translated(self.url):
            info = self._files.info(self._root)
        if info["type"] == "file" and not self.url.endswith("/"):
            yield self._item(self._root, info, ())
            return
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            try:
                with _translated(self._url(folder)):
                    entries = {str(said["name"]): said for said in self._files.ls(folder, detail=True, refresh=True)}
            except Refused as exc:
                yield exc
                continue
            entries = {path.rstrip("/"): said for path, said in entries.items() if not self._hidden(path, folder)}
            folders = [path for path, said in entries.items() if said["type"] == "directory"]
            waiting += sorted((path for path in folders if pick.enters(self._below(path))), reverse=True)
            yield from self._picked({p: said for p, said in entries.items() if p not in folders}, pick, sidecars)

    def place(self, name: str, path: str, metadata: Metadata) -> Item:
        """What a path in the manifest at this URL is: an object beside it, or one that has a URL of its own."""
        url = path if "://" in path else f"{self.url.rpartition('/')[0]}/{path}"
        if urlsplit(url).scheme in WEB:
            return Remote(name, url, metadata)
        return Stored(name, PurePosixPath(path).name, partial(_fetched_url, url, self._limits), "", metadata)

    def _picked(self, files: dict[str, Any], pick: Pick, sidecars: bool) -> Iterator[Item]:
        names = sorted(files)
        beside = paired(names) if sidecars else dict.fromkeys(names, ())
        for path in names:
            if path in beside and pick.takes(self._below(path)):
                yield self._item(path, files[path], tuple(self._sidecar(each, files[each]) for each in beside[path]))

    def _item(self, path: str, info: Any, sidecars: tuple[Sidecar, ...]) -> Item:
        url = self._url(path)
        if urlsplit(url).scheme in WEB and not sidecars:
            return Remote(url_id(url), url)  # fetched as every address is
        opener = partial(_fetched, self._files, path, url, self._limits)
        return Stored(external_id(url_id(url)), PurePosixPath(path).name, opener, _mark(info), {}, sidecars)

    def _sidecar(self, path: str, info: Any) -> Sidecar:
        opener = partial(_fetched, self._files, path, self._url(path), self._limits)
        return Sidecar(PurePosixPath(path).name, opener, _mark(info))

    def _url(self, path: str) -> str:
        return str(self._files.unstrip_protocol(path))

    def _below(self, path: str) -> str:
        return path.removeprefix(self._root.rstrip("/")).strip("/")

    def _hidden(self, path: str, folder: str) -> bool:
        bare = path.rstrip("/")  # the folder itself is listed by S3 when an empty object stands for it
        return bare == folder.rstrip("/") or PurePosixPath(bare).name.startswith(".") or not self._below(path)


class _Raw(RawIOBase):
    """A file of fsspec whose faults are ours, wherever it is read."""

    def __init__(self, inner: Any, url: str) -> None:
        self._inner, self._url = inner, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._inner.seekable())

    def seek(self, at: int, whence: int = 0) -> int:
        with _translated(self._url):
            return int(self._inner.seek(at, whence))

    def tell(self) -> int:
        return int(self._inner.tell())

    def readinto(self, buffer: Any) -> int:
        with _translated(self._url):
            return int(self._inner.readinto(buffer))

    def close(self) -> None:
        self._inner.close()
        super().close()


def _mark(info: Any) -> str:
    """Of size and entity tag, or of size and time; empty when the store tells neither."""
    said = next((info[name] for name in _MARKS if info.get(name)), None)
    return "" if said is None else f"{info.get('size')}.{said}"


def _fetched_url(url: str, limits: Limits) -> Any:
    there = Objects(url, limits)
    return _fetched(there._files, there._root, url, limits)


@contextmanager
def _fetched(files: AbstractFileSystem, path: str, url: str, limits: Limits) -> Iterator[BinaryIO]:
    """All of it, as a stream that can seek. Raises NoSuchPath, RemoteFailed, TooLarge."""
    spool, most = Spool(), largest(limits)
    with _translated(url), files.open(path, "rb", cache_type="readahead") as source:
        while chunk := source.read(CHUNK):
            if spool.tell() + len(chunk) > most:
                raise TooLarge(limits.over("media_bytes", "it has more"))
            spool.write(chunk)
    spool.seek(0)
    yield cast(BinaryIO, spool)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """The seam of fsspec, whose stores raise whatever their client libraries raise."""
    shown = url_id(url)
    try:
        yield
    except (Fault, ImportError):
        raise
    except FileNotFoundError as exc:
        if (other := _other_cause(url, exc)) is not None:
            raise RemoteFailed(_failed(shown, other)) from exc
        raise NoSuchPath(f"{shown}: there is nothing") from exc
    except PermissionError as exc:
        raise RemoteFailed(f"{shown}: access is denied ({_first(exc)}): check the store's credentials") from exc
    except Exception as exc:  # botocore's, aiohttp's and google's faults have no base in common
        raise RemoteFailed(_failed(shown, exc)) from exc


def _other_cause(url: str, exc: FileNotFoundError) -> BaseException | None:
    """Why a web server did not say what it has, when that is not because there is nothing: fsspec says it of all."""
    cause = exc.__cause__
    gone = getattr(cause, "status", None) in GONE
    return None if gone or urlsplit(url).scheme not in WEB else cause


def _failed(shown: str, exc: BaseException) -> str:
    return f"{shown}: {type(exc).__name__}: {_first(exc)}: check the address and the network"


def _first(exc: BaseException) -> str:
    return str(exc).partition("\n")[0][:200]
