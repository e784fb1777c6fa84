"""Figures of the whole installation, looked up when a collector of metrics asks: what waits, and for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from time import monotonic

from core.errors import BlobsDown, BrokerDown, CatalogueDown, DecoderDown, Fault, StoreDown, StoreLocked
from core.runtime import metrics
from core.runtime.wiring import Parts

PARTS = (CatalogueDown, StoreDown, StoreLocked, BlobsDown, BrokerDown, DecoderDown)
PATIENCE = 2.0  # seconds for the broker to answer: a collector asks again soon
FRESH = 2.0  # seconds for which an answer is given again, to more than one collector


class Figures:
    """Called at each scrape. What does not answer has no figure then, but `quiver_circuit_open`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._said: metrics.Figures = {}
        self._until = 0.0

    def __call__(self) -> metrics.Figures:
        """By the names of `core.runtime.metrics.LOOKED_UP`."""
        if monotonic() >= self._until:
            self._said = self._look()
            self._until = monotonic() + FRESH
        return self._said

    def forget(self) -> None:
        """Look again when asked next, however soon."""
        self._until = 0.0

    def close(self) -> None:
        """They are told no more."""
        metrics.look_up(None)

    def _look(self) -> metrics.Figures:
        down = dict.fromkeys((kind.__name__ for kind in PARTS), 0.0)
        oldest: defaultdict[str, float] = defaultdict(float)
        queues: Mapping[str, float] = {}
        try:
            catalogue = self._parts.catalogue
            down.update(dict.fromkeys(catalogue.circuits(), 1.0))
            for collection in catalogue.collections():
                name = metrics.named(collection.name)
                oldest[name] = max(oldest[name], catalogue.oldest_waiting(collection.name).total_seconds())
        except Fault as fault:
            down[fault.kind] = 1.0
        try:
            queues = self._queues()
        except BrokerDown as fault:
            down[fault.kind] = 1.0
        return {
            "quiver_circuit_open": down,
            "quiver_oldest_waiting_seconds": oldest,
            "quiver_queue_messages": queues,
        }

    def _queues(self) -> Mapping[str, float]:
        if self._parts.settings.broker_url is None:
            return {}
        from workers.app import lengths, make_app

        return lengths(make_app(self._parts.settings), patience=PATIENCE)


def expose(parts: Parts) -> None:
    """Tell these figures to whoever collects metrics from this process, until the parts are closed."""
    metrics.look_up(parts.also(Figures, lambda: Figures(parts)))
