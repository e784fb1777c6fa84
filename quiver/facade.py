"""The Python door: `from quiver import Quiver`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from core.runtime.wiring import open_parts
from quiver.archive import Archive
from quiver.calibrating import Calibrating
from quiver.erasing import Erasing
from quiver.evaluating import Evaluating
from quiver.ingesting import Ingesting
from quiver.models import Modelling
from quiver.recommending import Recommending
from quiver.reindexing import Reindexing
from quiver.searching import Searching
from quiver.upkeep import Upkeep

if TYPE_CHECKING:
    from quiver.remote.quiver import RemoteQuiver


class Quiver(
    Ingesting, Calibrating, Searching, Recommending, Reindexing, Evaluating, Modelling, Archive, Upkeep, Erasing
):
    """Ingest, search and keep collections. Open one with `Quiver.open`; close it, or use it in a `with`."""

    @classmethod
    def open(cls, data: str | Path | None = None, **settings: Any) -> Quiver:
        """Everything embedded in the folder `data`, or what the settings name. Parts open when they are needed.

        Raises UnknownSetting, Misconfigured.
        """
        return cls(open_parts(data=Path(data) if data is not None else None, **settings))

    @staticmethod
    def connect(url: str, key: str | None = None, *, patience: float = 30.0) -> RemoteQuiver:
        """The same methods, answered by the server there. `patience`: seconds for which a server that is away, or has
        too much to do, is asked again. Raises Misconfigured."""
        from quiver.remote.quiver import RemoteQuiver

        return RemoteQuiver(url, key, patience=patience)

    def __enter__(self) -> Quiver:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections. Harmless twice."""
        self._parts.close()
