"""What a collector of metrics reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from core.errors import Overloaded
from core.types import Tenant
from ingest.sources.manifest import Inline
from tests.doubles import toy_parts
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import admit, register
from workers.reconcile import reconcile


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
