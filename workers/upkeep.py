"""Upkeep: find what a lost message, a crash or an outage left behind."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import timedelta

from core.runtime import metrics
from core.runtime.wiring import Parts
from core.types import AssetId
from workers.erase import clear_superseded, resume
from workers.identity import bury
from workers.removal import clear


def sweep(
    parts: Parts,
    submit: Callable[[str, Sequence[AssetId]], None],
    *,
    limit: int = 10_000,
    quiet: timedelta = timedelta(0),
    without: Container[str] = (),
) -> int:
    """Hand out all that lacks points, is due to be retried or was left by a dead worker; how many assets.

    At most `limit` a collection, and only those that did not change for the time of `quiet`; nothing of the collections
    of `without`.
    """
    bury(parts)
    if lost := parts.catalogue.quarantine():
        metrics.failed("WorkerLost", len(lost))
    clear(parts)
    clear_superseded(parts)
    resume(parts)
    found = 0
    for collection, ids in outstanding(parts, limit=limit, quiet=quiet, without=without) if limit else ():
        submit(collection, ids)
        found += len(ids)
    return found


def outstanding(
    parts: Parts, *, limit: int, quiet: timedelta, without: Container[str] = ()
) -> Iterator[tuple[str, list[AssetId]]]:
    """What could be claimed now, in batches."""
    size = parts.settings.batch
    for collection in parts.catalogue.collections():
        if collection.name in without:
            continue
        ids = parts.catalogue.missing(collection.name, limit=limit, quiet=quiet)
        for at in range(0, len(ids), size):
            yield collection.name, ids[at : at + size]
