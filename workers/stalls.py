"""Collections that cannot be indexed because their model is wrong: their assets stay pending, and no others wait."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from core.errors import BadModel, Fault, MissingExtra, ModelMismatch, UnknownProfile

log = logging.getLogger(__name__)
MODEL = (MissingExtra, UnknownProfile, BadModel, ModelMismatch)  # what is wrong with one collection's model
AGAIN = 30.0  # seconds after which such a collection is tried again: its model may have been put right


class Stalls:
    """The collections that this process leaves out for now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._told: dict[str, str] = {}

    def note(self, collection: str, fault: Fault) -> None:
        """Leave a collection out for a while. It is logged once, however often it is found."""
        said = f"{fault.kind}: {fault}"
        with self._lock:
            self._until[collection] = monotonic() + AGAIN
            known, self._told[collection] = self._told.get(collection), said
        if said != known:
            log.warning("collection %s: its assets wait until its model is put right: %s", collection, said)

    def now(self) -> frozenset[str]:
        """Which are left out at the moment."""
        with self._lock:
            return frozenset(name for name, until in self._until.items() if monotonic() < until)
