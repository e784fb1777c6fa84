"""The embedded worker: what Celery workers and the clock do, in one process without a broker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from time import monotonic

from core.runtime.wiring import Parts
from workers.indexing import Tally
from workers.lanes import Lanes
from workers.patience import patiently
from workers.reconcile import reconcile

log = logging.getLogger(__name__)


def serve(
    parts: Parts, stopping: Event, *, every: float = 1.0, on_progress: Callable[[Tally], None] | None = None
) -> None:
    """Index what is outstanding, again and again, and reconcile now and then, until told to stop."""
    next_reconcile = monotonic() + parts.settings.reconcile_seconds

    def drain() -> None:
        with Lanes(parts, on_progress=on_progress) as lanes:
            lanes.drain()

    while not stopping.wait(every):
        patiently(parts, drain, stopping=stopping)
        if monotonic() >= next_reconcile:
            next_reconcile = monotonic() + parts.settings.reconcile_seconds
            for collection in parts.catalogue.collections():
                drift = reconcile(parts, collection.name, repair=parts.settings.reconcile_repairs)
                if drift.counts:
                    log.warning("%s: drift %s, %d repaired", collection.name, dict(drift.counts), drift.repaired)
