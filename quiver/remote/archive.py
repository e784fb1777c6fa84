"""Collections of a server as tables of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from core.errors import BadQuery
from core.filters import Filter
from core.records import Outcome
from core.types import Modality
from ingest.files import opened
from ingest.sources.manifest import MEDIA_TYPES
from quiver.remote.asking import Asking, place_of
from quiver.remote.wire import within
from retrieval.expression import Where
from retrieval.filter_json import write
from workers import foreign
from workers.export import Exported, check_target, writing_to
from workers.importing import Imported
from workers.intake import Problem

LONGEST = 3600.0  # seconds that a server may write or take in a table


class Archive(Asking):
    """What leaves, and what comes back, without its bytes; backups are made on the server's machine."""

    def export(
        self,
        collection: str,
        target: str | Path | BinaryIO,
        *,
        where: Where = None,
        blobs: str | Path | None = None,
        on_progress: Callable[[Exported], None] | None = None,
    ) -> Exported:
        """As `Quiver.export`, with an administrator's key and without `blobs`; `on_progress` is told of the end
        alone."""
        _no_bytes(blobs)
        if isinstance(target, (str, Path)):
            check_target(Path(target))
        body = {"where": write(where) if isinstance(where, Filter) else where}
        with writing_to(target) as sink:
            said = self._wire.fetch(place_of(collection, "export"), body, sink, seconds=LONGEST)
        points, assets, changing = (int(said[f"Quiver-{name}"]) for name in ("Points", "Assets", "Changing"))
        done = Exported(points=points, assets=assets, total=points, changing=changing)
        if on_progress is not None:
            on_progress(done)
        return done

    def import_(
        self,
        source: str | Path | BinaryIO,
        collection: str,
        *,
        blobs: str | Path | None = None,
        profile: str | None = None,
        vectors: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        modality: str | Modality | None = None,
        source_key: str | None = None,  # noqa: ARG002  # of a Qdrant server, which is refused by its address
        on_progress: Callable[[Imported], None] | None = None,
    ) -> Imported:
        """As `Quiver.import_` of an export, with an administrator's key and without `blobs`. Raises
        Conflict where that raises ModelMismatch. `on_progress` is told of the end alone."""
        _no_bytes(blobs)
        if isinstance(source, str) and foreign.is_foreign(source):
            raise BadQuery("a server reads no other Qdrant server on request: run `quiver import` on its machine")
        if vectors or columns or modality or profile:
            raise BadQuery(
                "an export says by itself what it holds: vectors, columns, modality and profile are left out"
            )
        opening = opened(Path(source)) if isinstance(source, (str, Path)) else nullcontext(source)
        with opening as file:
            file.seek(0)
            headers = {"Content-Type": MEDIA_TYPES["parquet"]}
            place = place_of(collection, "import")
            said = self._wire.ask("POST", place, content=file, headers=headers, timeout=within(LONGEST)).json()
        done = Imported(
            rows=said["rows"],
            total=said["rows"],
            outcomes={outcome: said["outcomes"].get(outcome, 0) for outcome in Outcome},
            points=said["points"],
            refused=[Problem(one["name"], one["kind"], one["message"]) for one in said["refused"]],
            without_bytes=said["without_bytes"],
            ignored=tuple(said["ignored"]),
        )
        if more := said["refusals"] - len(done.refused):
            done.refused.append(Problem("", "Refused", f"{more:,} more are refused: put these right first"))
        if on_progress is not None:
            on_progress(done)
        return done


def _no_bytes(blobs: str | Path | None) -> None:
    if blobs is not None:
        raise BadQuery("bytes are carried on the server's machine alone, by `quiver export` and `quiver import`")
