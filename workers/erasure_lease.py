"""The lease on an erasure, renewed while the work goes on: who falls silent is followed by another."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic

from core.erasing import Erasing
from core.errors import Unavailable
from core.runtime.wiring import Parts
from workers.identity import me

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)


class Lost(Exception):
    """Another holds the erasure by now."""


class Lease:
    """The lease on an erasure, renewed while the work goes on."""

    def __init__(self, parts: Parts, erasing: Erasing) -> None:
        self._parts, self.now = parts, erasing
        self._due = monotonic() + LEASE.total_seconds() / 4

    def renew(self) -> None:
        """If a good part of it is over. Raises Lost."""
        if monotonic() >= self._due:
            held = self._parts.catalogue.hold_erasing(self.now, worker=me(), lease=LEASE)
            if held is None:
                raise Lost
            self.now = held
            self._due = monotonic() + LEASE.total_seconds() / 4

    def note(self, found: Mapping[str, Sequence[str]]) -> None:
        """Which points there were, for whoever goes on."""
        self.renew()
        self._parts.catalogue.note_erasing(self.now, found)

    def let_go(self) -> None:
        """So that whoever sweeps next goes on with it at once."""
        try:
            self._parts.catalogue.hold_erasing(self.now, worker=me(), lease=timedelta(0))
        except Unavailable as fault:  # then its lease runs out by itself
            log.info("an erasure was not handed back: %s", fault)
