"""The embedded worker: what Celery workers and the clock do, in one process without a broker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event
from time import monotonic

from core.runtime.wiring import Parts
from workers.calibrating import tend
from workers.jobs import prune, run_jobs
from workers.lanes import Lanes
from workers.patience import patiently, void
from workers.rebuilding import being_built, build_a_while
from workers.reconcile import reconcile
from workers.stalls import Stalls
from workers.tally import Tally

log = logging.getLogger(__name__)
PRUNE = 3600.0  # seconds between looks for jobs to be forgotten
TEND = 30.0  # seconds between looks for collections whose scores are to be calibrated


def serve(
    parts: Parts, stopping: Event, *, every: float = 1.0, on_progress: Callable[[Tally], None] | None = None
) -> None:
    """Index what is outstanding, again and again, and reconcile now and then, until told to stop."""
    next_reconcile = monotonic() + parts.settings.reconcile_seconds
    next_prune = monotonic()
    next_tend = monotonic() + TEND
    stalls = Stalls()

    def drain() -> None:
        with Lanes(parts, on_progress=on_progress, stalls=stalls) as lanes:
            run_jobs(parts, lanes.submit, stopping, between=_now_and_then(lanes.sweep, every))
            lanes.drain()

    while not stopping.wait(every):
        patiently(parts, drain, stopping=stopping)
        for name in being_built(parts):
            patiently(parts, partial(_build, parts, name, stopping), stopping=stopping)
        if monotonic() >= next_prune:
            next_prune = monotonic() + PRUNE
            patiently(parts, lambda: void(prune(parts)), stopping=stopping)
        if monotonic() >= next_tend:
            patiently(parts, lambda: tend(parts), stopping=stopping)
            next_tend = monotonic() + TEND
        if monotonic() >= next_reconcile:
            next_reconcile = monotonic() + parts.settings.reconcile_seconds
            for collection in parts.catalogue.collections():
                drift = reconcile(parts, collection.name, repair=parts.settings.reconcile_repairs)
                if drift.counts:
                    log.warning("%s: drift %s, %d repaired", collection.name, dict(drift.counts), drift.repaired)


def _build(parts: Parts, name: str, stopping: Event) -> None:
    build_a_while(parts, name, stopping=stopping)


def _now_and_then(work: Callable[[], object], every: float) -> Callable[[], None]:
    """A function that does the work when it was not done for so many seconds: what others add does not wait for the
    end of a long job."""
    last = monotonic()

    def maybe() -> None:
        nonlocal last
        if monotonic() - last >= every:
            work()
            last = monotonic()

    return maybe
