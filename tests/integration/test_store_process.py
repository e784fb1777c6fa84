"""The store as a process: crashes, ends and beginnings, several clients, and who chooses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from core.errors import StoreDown, StoreLocked
from core.runtime.wiring import open_parts
from core.stores import process as client
from core.stores.edge import EdgeStore
from core.stores.frames import socket_of
from core.stores.process import ProcessStore
from core.stores.spawn import Spawned, spawn
from core.types import AssetId
from tests.serving import INDEX, ServedStore, T, numbers, put, search, until


@pytest.fixture
def spawned(tmp_path) -> Iterator[Spawned]:
    with spawn(tmp_path) as spawned:
        yield spawned


@pytest.fixture
def store(tmp_path) -> Iterator[ServedStore]:
    store = ServedStore(tmp_path)
    store.create(INDEX)
    yield store
    store.close()


# Crashes, ends and beginnings


def test_a_killed_store_loses_nothing_that_was_acknowledged_and_its_clients_go_on_with_the_next(tmp_path, spawned):
    store = ProcessStore(spawned.path)
    store.create(INDEX)
    acknowledged: list[int] = []

    def write() -> None:
        for start in range(1, 100_000, 50):
            batch = range(start, start + 50)
            put(store, *batch)
            if start % 200 == 1:
                store.flush(INDEX)
            acknowledged.extend(batch)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        until(lambda: len(acknowledged) > 300)
        spawned.kill()
        with pytest.raises(StoreDown, match="try again"):
            writing.result()
    with pytest.raises(StoreDown, match="start one with `quiver store`"):
        store.count(INDEX, T)
    assert spawned.path.is_socket(), "left behind by the kill"
    with spawn(tmp_path):
        assert set(numbers(store)) >= set(acknowledged)
        put(store, 200_000)
        assert 200_000 in numbers(store)
    store.close()


def test_an_idle_connection_of_a_store_that_has_gone_is_not_used(tmp_path):
    with spawn(tmp_path) as first:
        store = ProcessStore(first.path)
        store.create(INDEX)
    with spawn(tmp_path):
        assert store.indexes() == ["i"]
    store.close()


def test_ending_finishes_what_runs_flushes_and_leaves_no_socket(tmp_path):
    acknowledged: list[int] = []
    began = spawn(tmp_path)
    store = ProcessStore(began.path)
    store.create(INDEX)

    def write(first: int) -> None:
        for n in range(first, first + 100_000):
            put(store, n)
            acknowledged.append(n)

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, first) for first in (1, 200_001, 400_001)]
        until(lambda: len(acknowledged) > 50)
        assert began.stop() == 0
        for each in writing:
            with pytest.raises(StoreDown):
                each.result()
    store.close()
    assert not began.path.exists()
    for log in (tmp_path / "i.index").glob("shard-*/wal"):
        shutil.rmtree(log)  # what was not flushed would be in it alone
        log.mkdir()
    again = EdgeStore(tmp_path)
    held = {UUID(point.payload["asset"]).int for point in again.scroll(INDEX, limit=100_000)}
    again.close()
    assert held >= set(acknowledged)


def test_ending_flushes_what_was_written_and_nothing_else(tmp_path, monkeypatch):
    flushed: list[str] = []
    monkeypatch.setattr(EdgeStore, "flush", lambda _, index: flushed.append(index.id))
    store = ServedStore(tmp_path)
    for index in (INDEX, replace(INDEX, id="unused")):
        store.create(index)
        store.count(index, T)
    put(store, 1)
    store.close()
    assert flushed == ["i"]


def test_a_store_ends_with_the_process_that_started_it_however_that_ends(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from core.stores.spawn import spawn\n"
        "print(spawn(Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().strip().isdigit()
        assert client.answers(socket_of(tmp_path))
        parent.kill()
    until(lambda: not socket_of(tmp_path).exists())
    until(lambda: let_go(tmp_path))


def let_go(folder: Path) -> bool:
    """Whether nobody holds the folder: the socket goes first."""
    try:
        EdgeStore(folder).close()
    except StoreLocked:
        return False
    return True


def test_a_store_may_outlive_the_process_that_started_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from core.stores.spawn import spawn\n"
        "print(spawn(Path(sys.argv[1]), outlive=True).pid); import os; sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run(  # its errors go where ours go: the store keeps them open
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert client.answers(socket_of(tmp_path))
    os.kill(int(done.stdout), signal.SIGTERM)
    until(lambda: not socket_of(tmp_path).exists())


def test_a_store_whose_starter_died_before_it_was_ready_ends_without_a_traceback(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "core.stores.serve", "--root", str(tmp_path), "--while-stdin"],
        input="",
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_store_of_a_folder_is_refused_and_the_first_goes_on(tmp_path, spawned):
    with pytest.raises(StoreLocked, match=rf"process {spawned.pid} holds .*quiver store"):
        spawn(tmp_path)
    with pytest.raises(StoreLocked, match=f"process {spawned.pid} holds"):
        EdgeStore(tmp_path)
    assert client.answers(spawned.path)


def test_a_store_that_cannot_listen_says_so_and_lets_go(tmp_path):
    with pytest.raises(StoreDown, match="cannot be made"):
        spawn(tmp_path, tmp_path / "nowhere" / "s.sock")
    EdgeStore(tmp_path).close()


def test_a_store_that_does_not_answer_fails_the_call_in_time(tmp_path, spawned):
    store = ProcessStore(spawned.path, connect_timeout=0.3, call_timeout=0.3)
    assert store.indexes() == []
    os.kill(spawned.pid, signal.SIGSTOP)
    # It takes a moment.
    until(lambda: Path(f"/proc/{spawned.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    try:
        with pytest.raises(StoreDown, match=r"did not answer in 0\.3 s"):
            store.indexes()
        with pytest.raises(StoreDown, match="does not answer"):
            store.indexes()
    finally:
        os.kill(spawned.pid, signal.SIGCONT)
        store.close()
    patient = ProcessStore(spawned.path)
    assert patient.indexes() == []
    patient.close()


def test_a_closed_client_says_so_and_leaves_the_store_to_others(spawned):
    one, other = ProcessStore(spawned.path), ProcessStore(spawned.path)
    assert one.indexes() == []
    one.close()
    with pytest.raises(StoreDown, match="closed"):
        one.indexes()
    assert other.indexes() == []
    other.close()


# Several at once


def test_clients_that_write_and_search_at_once_each_find_their_own(store):
    others = [ProcessStore(store.server.path) for _ in range(2)]

    def work(which: int) -> None:
        mine = range(1 + 1000 * which, 301 + 1000 * which)
        for start in range(0, 300, 30):
            put(others[which], *mine[start : start + 30])
            assert len(search(others[which])) == 5
            assert set(numbers(others[which])) >= set(mine[: start + 30])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert numbers(store) == [*range(1, 301), *range(1001, 1301)]
    for other in others:
        other.close()


def test_threads_of_one_client_do_not_get_each_others_answers(store):
    put(store, *range(1, 9))

    def ask(n: int) -> bool:
        (held,) = store.of_assets(INDEX, [AssetId(UUID(int=n))])
        return UUID(held.payload["asset"]).int == n

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [1 + n % 8 for n in range(400)]))


def test_a_fork_speaks_on_connections_of_its_own(spawned):
    store = ProcessStore(spawned.path)
    store.create(INDEX)
    put(store, 1, 2)
    if (child := os.fork()) == 0:
        signal.alarm(20)
        os._exit(0 if all(numbers(store) == [1, 2] for _ in range(50)) else 1)
    assert all(store.count(INDEX, T) == 2 for _ in range(50))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.close()


# The choice


def test_a_process_joins_the_store_process_or_holds_the_folder_itself(tmp_path):
    alone = open_parts(data=tmp_path)
    assert isinstance(alone.store, EdgeStore)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} holds .*`quiver store`"):
        _ = open_parts(data=tmp_path).store
    alone.close()
    with spawn(tmp_path / "edge"):
        joined = open_parts(data=tmp_path)
        assert isinstance(joined.store, ProcessStore)
        assert joined.store.indexes() == []
        joined.close()
        with pytest.raises(StoreLocked):
            _ = open_parts(data=tmp_path, store="edge").store
    after = open_parts(data=tmp_path)
    assert isinstance(after.store, EdgeStore)
    after.close()


def test_a_store_process_that_is_asked_for_and_missing_is_named_with_what_to_do(tmp_path):
    parts = open_parts(data=tmp_path, store="process")
    with pytest.raises(StoreDown, match="start one with `quiver store`"):
        parts.store.indexes()
    parts.close()


def test_a_socket_left_behind_by_a_dead_store_stands_in_nobodys_way(tmp_path):
    with spawn(tmp_path / "edge") as spawned:
        spawned.kill()
        assert spawned.path.is_socket()
        parts = open_parts(data=tmp_path)
        assert isinstance(parts.store, EdgeStore)
        parts.close()


def test_the_command_serves_says_where_in_one_line_and_ends_at_sigterm(tmp_path):
    code = "import sys; from quiver.cli.app import main; sys.argv[0] = 'quiver'; main()"
    how = [sys.executable, "-c", code, "store", "--json", "--data", str(tmp_path)]
    with subprocess.Popen(how, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["pid"] == process.pid
        assert client.answers(Path(said["socket"]))
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
