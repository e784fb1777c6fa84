"""What a collector of metrics reads."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest
from prometheus_client import REGISTRY, generate_latest

from core.errors import DecoderCrashed, DecoderDown, Overloaded, StoreDown
from core.runtime import metrics
from core.types import Tenant
from ingest.sources.manifest import Inline
from tests.cages import ask, making, soon, stub
from tests.doubles import toy_parts
from workers import figures
from workers.cage import Cage
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import admit, register
from workers.reconcile import reconcile
from workers.upkeep import sweep

ME = Tenant("default")


def said(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_batches_stages_and_drift_are_counted(tmp_path: Path) -> None:
    before = said("quiver_assets_total", outcome="indexed")
    parts = toy_parts(tmp_path)
    made = ensure(parts, "c")
    items = [Inline("a", "red"), Inline("b", "blue")]
    register(parts, Tenant("default"), made, items, lambda c, ids: void(index_batch(parts, c, ids)))
    assert said("quiver_assets_total", outcome="indexed") == before + 2
    assert said("quiver_stage_seconds_total", stage="encode") > 0
    index = parts.catalogue.serving("c")
    parts.store.forget(index, {parts.catalogue.asset(Tenant("default"), "c", "a").id: None})
    reconcile(parts, "c")
    assert said("quiver_drift_assets", collection="c", kind="missing") == 1
    reconcile(parts, "c", repair=True)
    reconcile(parts, "c")
    assert said("quiver_drift_assets", collection="c", kind="missing") == 0
    assert b"quiver_batch_assets_bucket" in generate_latest()
    parts.close()


def void(_: object) -> None:
    """Nothing."""


def test_an_intake_that_falls_behind_says_when_to_come_again(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path, max_waiting_seconds=0.000001)
    made = ensure(parts, "c")
    register(parts, Tenant("default"), made, [Inline("a", "red")], lambda c, ids: None)
    with pytest.raises(Overloaded, match="come again") as caught:
        register(parts, Tenant("default"), made, [Inline("b", "red")], lambda c, ids: None)
    assert caught.value.retryable
    assert caught.value.retry_after > 0
    admit(toy_parts(tmp_path), "c")
    parts.close()


def test_a_failure_is_counted_by_its_class_that_of_a_lost_worker_too(tmp_path: Path) -> None:
    broken, lost = said("quiver_failures_total", **{"class": "EncoderBroke"}), lost_workers()
    parts = toy_parts(tmp_path, max_attempts=1)
    made = ensure(parts, "c")
    register(parts, ME, made, [Inline("a", "poison")], lambda c, ids: void(index_batch(parts, c, ids)))
    assert said("quiver_failures_total", **{"class": "EncoderBroke"}) == broken + 1
    register(parts, ME, made, [Inline("b", "red")], lambda c, ids: None)
    parts.catalogue.claim("c", worker="silent", lease=timedelta(seconds=-1), limit=9)
    sweep(parts, lambda c, ids: None)
    assert lost_workers() == lost + 1
    parts.close()


def lost_workers() -> float:
    return said("quiver_failures_total", **{"class": "WorkerLost"})


def test_drift_of_what_tenants_made_is_one_figure_however_many_collections_they_have() -> None:
    metrics.drift("photos.0123456789ab", ["missing"], {"missing": 2})
    metrics.drift("photos.ba9876543210", ["missing"], {"missing": 3})
    assert said("quiver_drift_assets", collection="(tenants)", kind="missing") == 5
    metrics.drift("photos.0123456789ab", ["missing"], {})
    assert said("quiver_drift_assets", collection="(tenants)", kind="missing") == 3
    assert "ba9876543210" not in metrics.text()[0].decode()


def test_requests_are_counted_by_route_and_never_by_address() -> None:
    route = "/v1/collections/{collection}/search"
    before = said("quiver_http_requests_total", method="POST", route=route, status="2xx")
    metrics.requested("POST", route, 201, 0.02)
    metrics.requested("BREW", "", 404, 0.02)
    assert said("quiver_http_requests_total", method="POST", route=route, status="2xx") == before + 1
    assert said("quiver_http_request_seconds_bucket", method="POST", route=route, le="0.025") >= 1
    assert said("quiver_http_requests_total", method="other", route="none", status="4xx") >= 1
    assert "BREW" not in metrics.text()[0].decode()


def test_the_stages_of_a_search_are_measured_and_their_sum_is_not_a_stage() -> None:
    before = said("quiver_search_stage_seconds_count", stage="store")
    metrics.searched({"encode": 0.1, "store": 0.004, "fuse": 0.001, "total": 0.105})
    assert said("quiver_search_stage_seconds_count", stage="store") == before + 1
    assert said("quiver_search_stage_seconds_count", stage="total") == 0


def test_what_waits_and_what_is_down_is_looked_up_when_somebody_asks(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    figures.expose(parts)
    made = ensure(parts, "c")
    assert said("quiver_oldest_waiting_seconds", collection="c") == 0
    assert REGISTRY.get_sample_value("quiver_circuit_open", {"part": "StoreDown"}) == 0
    register(parts, ME, made, [Inline("a", "red")], lambda c, ids: None)
    parts.catalogue.trip(StoreDown.__name__, "a test")
    parts.also(figures.Figures, lambda: figures.Figures(parts)).forget()
    assert said("quiver_oldest_waiting_seconds", collection="c") > 0
    assert said("quiver_circuit_open", part="StoreDown") == 1
    parts.close()
    assert REGISTRY.get_sample_value("quiver_circuit_open", {"part": "StoreDown"}) is None, "nobody is left to say"


def test_a_scrape_is_answered_while_broker_and_catalogue_are_down(tmp_path: Path) -> None:
    parts = toy_parts(
        tmp_path, broker_url="redis://127.0.0.1:1/0", database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"
    )
    figures.expose(parts)
    began = monotonic()
    text, media_type = metrics.text()
    assert monotonic() - began < 20
    assert media_type.startswith("text/plain")
    assert b'quiver_circuit_open{part="BrokerDown"} 1.0' in text
    assert b'quiver_circuit_open{part="CatalogueDown"} 1.0' in text
    assert b'quiver_circuit_open{part="StoreDown"} 0.0' in text
    parts.close()


@pytest.mark.parametrize(("file", "recycle", "why"), [(b"segfault", 9, "broken"), (b"fine", 1, "recycled")])
def test_a_decoder_that_breaks_or_is_worn_out_is_counted_as_replaced(file: bytes, recycle: int, why: str) -> None:
    reasons = ("broken", "recycled", "doubted")
    before = {reason: said("quiver_decode_restarts_total", why=reason) for reason in reasons}
    with making() as make, suppress(DecoderCrashed):
        ask(make(stub(), recycle=recycle), file)
    after = {reason: said("quiver_decode_restarts_total", why=reason) for reason in reasons}
    assert after == {**before, why: before[why] + 1}, "and to be closed is not to break"


def test_a_decoder_that_is_ended_at_its_work_because_all_is_closed_is_not_counted() -> None:
    before = said("quiver_decode_restarts_total", why="broken")
    with making() as make:
        cage = make(stub())
        asking = Thread(target=suppressed, args=(cage,))
        asking.start()
        assert soon(lambda: any(child.served for child in cage._running), 30)
        cage.close()
        asking.join()
    assert said("quiver_decode_restarts_total", why="broken") == before


def suppressed(cage: Cage) -> None:
    with suppress(DecoderCrashed, DecoderDown):
        ask(cage, b"sleep")


def test_processes_that_share_a_folder_are_told_as_one(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from core.runtime import metrics; metrics.requested('GET', '/x', 200, 0.1); metrics.drift('c', ['k'], {})"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], env=env, check=True)
    tell = "from core.runtime import metrics; print(metrics.text()[0].decode())"
    told = subprocess.run([sys.executable, "-c", tell], env=env, check=True, capture_output=True, text=True).stdout
    assert 'quiver_http_requests_total{method="GET",route="/x",status="2xx"} 2.0' in told
    assert 'quiver_drift_assets{collection="c",kind="k"} 0.0' in told
