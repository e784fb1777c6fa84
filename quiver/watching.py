"""Watching: an ingest whenever what is watched has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from core.errors import BadQuery, Fault, NoSuchPath, Refused, Unavailable
from ingest.sources.folder import require
from ingest.sources.paths import PathLike
from ingest.sources.watch import Watch
from quiver.reports import IngestReport

PAUSE = 5.0  # seconds before what is down is tried again


def watching(
    ingest: Callable[..., IngestReport],
    folders: Sequence[PathLike],
    on_report: Callable[[IngestReport], None],
    on_fault: Callable[[Fault], None] | None,
    stopping: Event,
    how: Mapping[str, Any],
) -> None:
    """Call `ingest` with the folders that are there, now and after each burst of changes, until `stopping` is set.

    What is Refused or Unavailable once it has begun is told, and tried again at the next burst or after a pause.
    Raises NoSuchPath, BadQuery when they are no folders or `force` is asked for, and Misconfigured.
    """
    if how.get("force"):
        raise BadQuery("a folder that is away for a moment must cost nothing: use force for a single ingest")
    for place in folders:
        if "://" in str(place):
            raise BadQuery(f"{place}: only folders of this machine can be watched")
        require(Path(place))
        if not Path(place).is_dir():
            raise BadQuery(f"{place}: only folders can be watched: give the one it is in, and a pattern")
    watch = Watch([Path(place) for place in folders], stopping)
    first = True
    for _ in watch.bursts():
        try:
            report = ingest(*(place for place in folders if Path(place).is_dir()), settling=True, **how)
        except (Refused, Unavailable) as fault:
            if first and isinstance(fault, Refused) and not isinstance(fault, NoSuchPath):
                raise
            if on_fault is not None:
                on_fault(fault)
            if isinstance(fault, Unavailable):
                stopping.wait(PAUSE)
            watch.again()
            continue
        first = False
        on_report(report)
        if report.unsettled:
            watch.again()
