"""Wiring: the only place that chooses implementations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.blobs.local import LocalBlobs
from core.catalogue.sql import open_catalogue
from core.encoders.registry import Encoders
from core.errors import BlobsDown
from core.ports import Blobs, Catalogue, VectorStore
from core.runtime.settings import Settings, load_settings


def open_parts(**settings: Any) -> Parts:
    """The parts that the environment, overridden by what is said, asks for. Raises UnknownSetting, Misconfigured."""
    return Parts(load_settings(**settings), Encoders())


@dataclass(frozen=True)
class Parts:
    """The parts that every function is handed. Each is opened when it is first asked for."""

    settings: Settings
    encoders: Encoders

    @cached_property
    def catalogue(self) -> Catalogue:
        """SQLite in the data folder, or the database that is set."""
        url = self.settings.database_url
        where = url.get_secret_value() if url else f"sqlite:///{self._folder() / 'catalogue.db'}"
        return open_catalogue(where, max_attempts=self.settings.max_attempts)

    @cached_property
    def blobs(self) -> Blobs:
        """A folder in the data folder."""
        return LocalBlobs(self._folder() / "blobs")

    @cached_property
    def store(self) -> VectorStore:
        """Qdrant Edge in the data folder, or the Qdrant server that is set."""
        if self.settings.qdrant_url:
            from core.stores.server import connect

            key = self.settings.qdrant_api_key
            return connect(self.settings.qdrant_url, key.get_secret_value() if key else None)
        from core.stores.edge import EdgeStore

        return EdgeStore(self._folder() / "edge")

    def close(self) -> None:
        """Let go of what was opened. Harmless twice."""
        for name in ("store", "catalogue"):
            if (part := self.__dict__.pop(name, None)) is not None:
                part.close()

    def _folder(self) -> Path:
        folder = self.settings.data
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise BlobsDown(f"the data folder {folder} cannot be made: {exc.strerror}") from exc
        return folder
