"""A search as a service makes it: measured, and now and then compared with an exact one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from core.errors import StoreDown
from core.points import Found, Nearest
from core.records import Index
from core.runtime import metrics, traces
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId, Tenant, Text
from ingest.sources.manifest import Inline
from retrieval.request import Answer, SearchRequest
from tests.doubles import toy_parts
from workers.answering import Sampler, answer_all
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register

ME = Tenant("default")
ASKED = SearchRequest(tenant=ME, collection="c", query=Text("red cat"), limit=2)


class Forgetful(MemoryStore):
    """Misses the asset `a` unless it searches exactly."""

    exact = 0
    down = False

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        answers = super().search(index, queries)
        if queries[0].exact:
            self.exact += 1
            if self.down:
                raise StoreDown
            return answers
        return [[point for point in found if point.payload["external_id"] != "a"] for found in answers]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    for name in ("SCANNED", "TRIED"):  # so few points are compared one by one anyhow
        monkeypatch.setattr(f"retrieval.selectivity.{name}", -1)
    made = toy_parts(tmp_path, recall_every_seconds=3600)
    made.__dict__["store"] = Forgetful()
    items = [Inline("a", "red cat"), Inline("b", "red red cat dog"), Inline("d", "green dog")]

    def submit(collection: str, ids: Sequence[AssetId]) -> None:
        index_batch(made, collection, ids)

    register(made, ME, ensure(made, "c"), items, submit)
    yield made
    made.close()


def recall() -> float | None:
    return REGISTRY.get_sample_value("quiver_ann_recall_ratio")


def test_what_a_search_misses_is_measured_by_one_in_so_many_seconds(parts: Parts) -> None:
    store = parts.store
    assert isinstance(store, Forgetful)
    metrics.recalled(1.0)
    before = REGISTRY.get_sample_value("quiver_search_stage_seconds_count", {"stage": "store"}) or 0
    for _ in range(3):
        hits = answer_all(parts, [ASKED], profile="toy")[0].hits
    parts.also(Sampler, lambda: Sampler(every=1)).close()
    assert store.exact == 1, "the others came too soon"
    exactly = answer_all(parts, [replace(ASKED, exact=True)], profile="toy")[0].hits
    assert [sorted(hit.external_id for hit in each) for each in (exactly, hits)] == [["a", "b"], ["b", "d"]]
    assert recall() == 0.5
    assert REGISTRY.get_sample_value("quiver_search_stage_seconds_count", {"stage": "store"}) == before + 4


def test_a_comparison_that_fails_harms_nobody_and_says_nothing(parts: Parts) -> None:
    assert isinstance(parts.store, Forgetful)
    parts.store.down = True
    metrics.recalled(0.5)
    answer_all(parts, [ASKED], profile="toy")[0]
    parts.also(Sampler, lambda: Sampler(every=1)).close()
    assert (parts.store.exact, recall()) == (1, 0.5)


def test_comparisons_never_run_side_by_side() -> None:
    sampler, go, begun = Sampler(every=0), Event(), list[int]()
    found = Answer(hits=(), encoders={}, seconds={})

    def slow() -> Answer:
        begun.append(1)
        go.wait(30)
        return found

    for _ in range(3):
        sampler.offer(found, slow)
    go.set()
    sampler.close()
    assert len(begun) == 1


def test_nothing_is_compared_unless_it_is_set(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    parts.__dict__["store"] = Forgetful()
    register(parts, ME, ensure(parts, "c"), [Inline("a", "red")], lambda c, ids: void(index_batch(parts, c, ids)))
    answer_all(parts, [ASKED], profile="toy")[0]
    assert Sampler not in parts._others
    parts.close()


def void(_: object) -> None:
    """Nothing."""


def test_the_stages_of_a_search_are_spans_of_its_trace(parts: Parts) -> None:
    exporter = InMemorySpanExporter()
    traces.configure("quiver-test", exporter=exporter)
    try:
        answer_all(parts, [ASKED], profile="toy")
    finally:
        traces.stop()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"search", "search.encode", "search.store", "search.fuse", "search.rerank"}
    assert spans["search"].attributes == {"collection": "c"}
    assert spans["search.encode"].end_time == spans["search.store"].start_time
    outer = spans["search"].context
    assert outer is not None
    for name in ("search.encode", "search.store", "search.fuse"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == outer.span_id
