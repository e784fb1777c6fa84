"""Wiring: the only place that chooses implementations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from core.blobs.local import LocalBlobs
from core.catalogue import copying
from core.catalogue.copying import Copy as Copy  # for those who are given one
from core.catalogue.sql import open_catalogue
from core.encoders.machine import place, prefer
from core.encoders.registry import Encoders
from core.errors import BlobsDown, Misconfigured
from core.ports import Blobs, Catalogue, Meter, VectorStore
from core.readers.registry import Readers
from core.runtime import traces
from core.runtime.settings import Settings, load_settings
from core.scores import Scores

if TYPE_CHECKING:
    from core.stores.payloads import ServerPayloads


class _Closable(Protocol):
    def close(self) -> None: ...


_P = TypeVar("_P", bound=_Closable)


def open_parts(**settings: Any) -> Parts:
    """The parts that the environment, overridden by what is said, asks for. Raises UnknownSetting, Misconfigured."""
    said = load_settings(**settings)
    prefer(said.device, said.precision)
    return Parts(said, Encoders())


def open_copy(path: Path) -> Copy:
    """A catalogue that was copied into a file, which is brought to the newest migration."""
    return copying.open_copy(path)


def open_payloads(api_key: str | None, url: str, collection: str) -> ServerPayloads:
    """Another collection, on the Qdrant server at that URL, to be read. It is not spoken to yet."""
    from core.stores import payloads

    return payloads.payloads_at(url, collection, api_key)


@dataclass(frozen=True)
class Parts:
    """The parts that every function is handed. Each is opened when it is first asked for."""

    settings: Settings
    encoders: Encoders

    @cached_property
    def catalogue(self) -> Catalogue:
        """SQLite in the data folder, or the database that is set."""
        url = self.settings.database_url
        where = url.get_secret_value() if url else self._folder() / "catalogue.db"
        return open_catalogue(where, max_attempts=self.settings.max_attempts)

    def copy_catalogue(self, target: Path) -> Copy:
        """Write all of it, as it is at one moment, into a file of SQLite, and open that. Raises CatalogueBroken."""
        copying.copy_out(self._sql(), target)
        return copying.open_copy(target)

    def fill_catalogue(self, source: Path, *, replace: bool) -> None:
        """Take in such a file, which is changed by that, in one transaction. Raises Conflict when a collection is there
        already, unless all is to be replaced; records of erasures never are."""
        copying.copy_in(self._sql(), source, replace=replace)

    def _sql(self) -> Any:
        return self.catalogue.engine  # type: ignore[attr-defined]  # of the one implementation, whatever wraps it

    @cached_property
    def blobs(self) -> Blobs:
        """A folder in the data folder."""
        return LocalBlobs(self._folder() / "blobs")

    @cached_property
    def store(self) -> VectorStore:
        """A Qdrant server when one is set; else the process that serves the data folder, or the folder itself."""
        return traces.traced(self._store(), "store")

    def room(self) -> int | None:
        """Bytes free on the disk that indexes are written to; None: that is a server's, which does not say."""
        return None if self._served() else disk_usage(self._folder()).free

    def _served(self) -> bool:
        return self.settings.store == "auto" and bool(self.settings.qdrant_url)

    def _store(self) -> VectorStore:
        choice = self.settings.store
        if self._served():
            from core.stores.server import connect

            assert self.settings.qdrant_url is not None
            if not self.settings.qdrant_url.startswith(("http://", "https://")):
                raise Misconfigured("QDRANT_URL cannot be read: write http://HOST:6333")
            key = self.settings.qdrant_api_key
            return connect(self.settings.qdrant_url, key.get_secret_value() if key else None)
        from core.stores.frames import socket_of
        from core.stores.process import ProcessStore, answers

        root = self._folder() / "edge"
        if choice == "process" or (choice == "auto" and answers(socket_of(root))):
            return ProcessStore(socket_of(root))
        from core.stores.edge import EdgeStore

        return EdgeStore(root)

    @cached_property
    def readers(self) -> Readers:
        """What reads the text inside things."""
        from core.encoders.hub import snapshot

        return Readers(self.settings.transcriber, snapshot, place)

    @cached_property
    def meter(self) -> Meter:
        """Counted in the broker when one is set, over all processes; else in this process."""
        if self.settings.broker_url is None:
            from core.meters.memory import MemoryMeter

            return MemoryMeter()
        from core.meters.redis import RedisMeter

        return RedisMeter(self.settings.broker_url.get_secret_value())

    def cross_encoder(self, name: str | None = None) -> Scores:
        """The cross-encoder of that name, or the one that is set. Raises MissingExtra, BadModel."""
        from core.encoders.cross import cross_encoder

        return cross_encoder(name or self.settings.cross_encoder)

    def store_answers(self) -> bool:
        """Whether a process serves the data folder."""
        from core.stores.frames import socket_of
        from core.stores.process import answers

        return answers(socket_of(self._folder() / "edge"))

    def serve_store(self, ready: Callable[[Path], None]) -> None:
        """Be the process that serves the data folder, until a signal. `ready` is told the socket.

        Raises StoreLocked, StoreDown.
        """
        from core.stores.serve import serve

        serve(self._folder() / "edge", optimize_after=self.settings.optimize_after, ready=ready)

    def also(self, kind: type[_P], make: Callable[[], _P]) -> _P:
        """A part of a room above this one: made when it is first asked for, and closed with the others."""
        with self._lock:
            if kind not in self._others:
                self._others[kind] = make()
            part = self._others[kind]
        assert isinstance(part, kind)
        return part

    def close(self) -> None:
        """Let go of what was opened. Harmless twice."""
        with self._lock:
            others = [self._others.pop(kind) for kind in list(self._others)]
        for other in others:
            other.close()
        for name in ("store", "catalogue", "meter"):
            if (part := self.__dict__.pop(name, None)) is not None:
                part.close()

    @cached_property
    def _others(self) -> dict[type[_Closable], _Closable]:
        return {}

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    def _folder(self) -> Path:
        folder = self.settings.data
        if folder.exists() and not folder.is_dir():
            raise Misconfigured(f"the data folder {folder} is a file: name a folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise BlobsDown(f"the data folder {folder} cannot be made: {exc.strerror}") from exc
        return folder
