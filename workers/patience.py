"""Patience with what is down: an outage slows everybody, counts against no asset and breaks up no batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from time import monotonic

from core.errors import CatalogueDown, Unavailable
from core.runtime.wiring import Parts

log = logging.getLogger(__name__)
LOCAL = 1.0  # seconds between tries while the catalogue, where circuits are written, is itself down


def patiently(
    parts: Parts, work: Callable[[], None], *, stopping: Event, patience: timedelta = timedelta(minutes=10)
) -> bool:
    """Do the work, waiting while a circuit is open. False when told to stop before it was done.

    Raises the fault when patience ends. The work is called again after a fault, so it must hand back what it held.
    """
    until = monotonic() + patience.total_seconds()
    while not stopping.is_set():
        try:
            tripped = parts.catalogue.circuits()
            wait = max((left.total_seconds() for left, _ in tripped.values()), default=0.0)
            if wait > 0:
                stopping.wait(min(wait, max(0.0, until - monotonic()) + 0.01))
                if monotonic() < until:
                    continue
            work()
            for name in tripped:
                parts.catalogue.mend(name)
            return True
        except CatalogueDown as fault:
            if monotonic() >= until:
                raise
            log.warning("waiting: %s", fault)
            stopping.wait(LOCAL)
        except Unavailable as fault:
            log.warning("waiting: %s", fault)
            parts.catalogue.trip(fault.kind, str(fault))
            if monotonic() >= until:
                raise
    return False


def void(_: object) -> None:
    """Drop an answer that nobody asked for."""
