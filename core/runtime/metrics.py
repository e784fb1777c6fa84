"""Metrics in Prometheus' form. Labels are bounded: no tenant, no asset, no address ever is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from core.errors import Misconfigured

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

ASSETS = Counter("quiver_assets", "Assets that an indexing batch dealt with.", ["outcome"])
STAGE = Counter("quiver_stage_seconds", "Seconds spent, by stage of indexing, all lanes together.", ["stage"])
BATCH = Histogram("quiver_batch_assets", "Assets in an indexing batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
FAILURES = Counter("quiver_failures", "Failures of assets, by class; a repeated try counts again.", ["class"])
DECODERS = Counter("quiver_decode_restarts", "Decoding processes that were replaced, and why.", ["why"])
DRIFT = Gauge(
    "quiver_drift_assets",
    "Assets on which catalogue and index disagreed.",
    ["collection", "kind"],
    multiprocess_mode="mostrecent",
)
REQUESTS = Counter("quiver_http_requests", "Requests answered.", ["method", "route", "status"])
REQUEST = Histogram("quiver_http_request_seconds", "Seconds to answer.", ["method", "route"], buckets=FAST)
SEARCH = Histogram("quiver_search_stage_seconds", "Seconds of a search, by stage.", ["stage"], buckets=FAST)
SEARCH_STAGES = ("encode", "store", "fuse", "rerank")
TENANTS = "(tenants)"  # no collection of the operator has a parenthesis in its name
RECALL = Gauge(
    "quiver_ann_recall_ratio",
    "Of the hits of an exact search, the part that the last sampled search had too.",
    multiprocess_mode="mostrecent",
)

# Figures that are looked up when somebody asks, not kept: name, what it is, its label.
LOOKED_UP = {
    "quiver_oldest_waiting_seconds": ("How long the oldest asset waits to be indexed.", "collection"),
    "quiver_queue_messages": ("Messages that wait in the broker.", "queue"),
    "quiver_circuit_open": ("1 while work waits for this part.", "part"),
}
Figures = Mapping[str, Mapping[str, float]]  # by name of LOOKED_UP and value of its label
_drifted: dict[str, dict[str, int]] = {}  # by collection, as last found by this process
_lock = Lock()


def batch(outcomes: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """A batch of indexing is done."""
    BATCH.observe(sum(outcomes.values()))
    for outcome, count in outcomes.items():
        ASSETS.labels(outcome).inc(count)
    spent(seconds)


def spent(seconds: Mapping[str, float]) -> None:
    """So long was spent in these stages of indexing."""
    for stage, more in seconds.items():
        STAGE.labels(stage).inc(more)


def failed(kind: str, count: int = 1) -> None:
    """So many assets failed with a fault of that class."""
    FAILURES.labels(kind).inc(count)


def decoder_replaced(why: str) -> None:
    """A decoding process was ended for another: `broken`; `doubted`, so that a file is judged by a fresh one; or
    `recycled`, after as many files as are set."""
    DECODERS.labels(why).inc()


def drift(collection: str, kinds: Iterable[str], counts: Mapping[str, int]) -> None:
    """A reconciliation of a collection is done: kinds that were not found are zero."""
    shown = named(collection)
    with _lock:
        _drifted[collection] = dict(counts)
        together = [found for name, found in _drifted.items() if named(name) == shown]
    for kind in kinds:
        DRIFT.labels(shown, kind).set(sum(found.get(kind, 0) for found in together))


def named(collection: str) -> str:
    """The label of a collection: its name, or one for all that tenants made, of which there may be any number."""
    return TENANTS if "." in collection else collection


def requested(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered. `route` is the template of its path, empty when there is none: never the path itself."""
    known = method if method in METHODS else "other"
    where = route or "none"
    REQUESTS.labels(known, where, f"{status // 100}xx").inc()
    REQUEST.labels(known, where).observe(seconds)


def searched(seconds: Mapping[str, float]) -> None:
    """A search was answered; `seconds` as in its Answer."""
    for stage in SEARCH_STAGES:
        if stage in seconds:
            SEARCH.labels(stage).observe(seconds[stage])


def recalled(ratio: float) -> None:
    """A sampled search was compared with an exact one: 1 when it missed nothing."""
    RECALL.set(ratio)


class _LookedUp:
    """Asks for the figures of LOOKED_UP at every scrape."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._look: Callable[[], Figures] | None = None

    def ask(self, look: Callable[[], Figures] | None) -> None:
        with self._lock:
            self._look = look

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(name, text, labels=[label]) for name, (text, label) in LOOKED_UP.items()]

    def collect(self) -> Iterable[Metric]:
        with self._lock:  # scrapes at once ask once each, in turn
            figures = self._look() if self._look is not None else {}
        for family in self.describe():
            for label, value in figures.get(family.name, {}).items():
                assert isinstance(family, GaugeMetricFamily)
                family.add_metric([label], value)
            yield family


_looked_up = _LookedUp()
REGISTRY.register(_looked_up)


def look_up(look: Callable[[], Figures] | None) -> None:
    """From now on the figures of LOOKED_UP are what `look` says at each scrape; None: they are not told here."""
    _looked_up.ask(look)


def text() -> tuple[bytes, str]:
    """All metrics as Prometheus reads them, and the media type. Of all processes that share the folder
    PROMETHEUS_MULTIPROC_DIR, when that is set."""
    return generate_latest(_registry()), CONTENT_TYPE_LATEST


def serve(port: int) -> None:
    """Answer Prometheus on loopback and beyond, at this port. Raises Misconfigured when it is taken."""
    try:
        start_http_server(port, registry=_registry())
    except OSError as exc:
        raise Misconfigured(f"metrics cannot be served on port {port}: {exc.strerror}; set another") from exc


def _registry() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # prometheus_client types it half
    shared.register(_looked_up)
    return shared
