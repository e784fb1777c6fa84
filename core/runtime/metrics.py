"""Metrics in Prometheus' form. Labels are bounded: no tenant, no asset, no address ever is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from core.errors import Misconfigured

ASSETS = Counter("quiver_assets", "Assets that an indexing batch dealt with.", ["outcome"])
STAGE = Counter("quiver_stage_seconds", "Seconds spent, by stage of indexing, all lanes together.", ["stage"])
BATCH = Histogram("quiver_batch_assets", "Assets in an indexing batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
DRIFT = Gauge("quiver_drift_assets", "Assets on which catalogue and index disagreed.", ["collection", "kind"])
WAITING = Gauge("quiver_oldest_waiting_seconds", "How long the oldest asset waits to be indexed.", ["collection"])


def batch(outcomes: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """A batch of indexing is done."""
    BATCH.observe(sum(outcomes.values()))
    for outcome, count in outcomes.items():
        ASSETS.labels(outcome).inc(count)
    for stage, spent in seconds.items():
        STAGE.labels(stage).inc(spent)


def drift(collection: str, kinds: Iterable[str], counts: Mapping[str, int]) -> None:
    """A reconciliation of a collection is done: kinds that were not found are zero."""
    for kind in kinds:
        DRIFT.labels(collection, kind).set(counts.get(kind, 0))


def serve(port: int) -> None:
    """Answer Prometheus on loopback and beyond, at this port. Raises Misconfigured when it is taken."""
    try:
        start_http_server(port)
    except OSError as exc:
        raise Misconfigured(f"metrics cannot be served on port {port}: {exc.strerror}; set another") from exc
