"""The store as a process: crashes, restarts, strangers, and what goes on while it is optimized."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, Defect, IndexDrifted, Misconfigured, StoreDown, StoreLocked
from core.points import Nearest, Scope
from core.records import Index, IndexState
from core.runtime.wiring import open_parts
from core.spaces import Metric, Sparse
from core.stores import edge, frames, upkeep
from core.stores import process as client
from core.stores.edge import EdgeStore
from core.stores.frames import socket_of
from core.stores.process import ProcessStore
from core.stores.spawn import Spawned, spawn
from core.types import AssetId, Tenant
from tests.serving import ServedStore
from tests.strategies import FIELDS, make_asset, make_points, make_space, sparse, unit

WORDS = make_space()
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(WORDS, TERMS), fields=FIELDS)
T = Scope(tenant=Tenant("t"))


def put(store: ProcessStore, *numbers: int) -> None:
    vectors = [unit(1, n % 7, n % 3, 0) for n in numbers]
    store.upsert(INDEX, make_points([make_asset(number=n) for n in numbers], {WORDS: vectors}))


def numbers(store: ProcessStore) -> list[int]:
    return sorted(UUID(point.payload["asset"]).int for point in store.scroll(INDEX, limit=100_000))


def search(store: ProcessStore) -> list[int]:
    query = Nearest(space=WORDS, vector=unit(1, 0, 0, 0), scope=T, limit=5, exact=True)
    return [UUID(hit.payload["asset"]).int for hit in store.search(INDEX, [query])[0]]


def until(held, seconds: float = 30) -> None:
    limit = monotonic() + seconds
    while not held():
        assert monotonic() < limit, "it did not come to pass"
        sleep(0.02)


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


def raw(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    with frames.address(path) as where:
        peer.connect(where)
    return peer


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
    EdgeStore(tmp_path).close()


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
    try:
        with pytest.raises(StoreDown, match=r"did not answer in 0\.3 s"):
            store.indexes()
        with pytest.raises(StoreDown, match="does not answer"):
            store.indexes()
    finally:
        os.kill(spawned.pid, signal.SIGCONT)
    assert store.indexes() == []
    store.close()


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
        (held,) = store.of_asset(INDEX, AssetId(UUID(int=n)))
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


# Strangers


@given(st.binary(min_size=1, max_size=80), st.booleans(), st.booleans())
def test_a_malformed_frame_ends_its_connection_and_hurts_no_other(served, said, greet, framed):
    with raw(served.server.path) as peer:
        if greet:
            peer.sendall(frames.frame(frames.hello()))
            frames.check_hello(frames.receive(peer))
        with suppress(ConnectionError):  # it hung up while we spoke
            peer.sendall(struct.pack("<I", len(said)) + said if framed else said)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1000):
                pass
    assert served.indexes() == ["i"]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[ServedStore]:
    store = ServedStore(tmp_path_factory.mktemp("served"))
    store.create(INDEX)
    yield store
    store.close()


def test_a_malformed_call_is_answered_by_a_defect(served):
    with raw(served.server.path) as peer:
        peer.sendall(frames.frame(frames.hello()))
        frames.check_hello(frames.receive(peer))
        peer.sendall(frames.frame({"call": "eval"}))
        fault = frames.fault_from(frames.receive(peer))
    assert type(fault) is Defect
    assert "malformed" in str(fault)


def test_a_client_of_another_release_is_told_before_it_says_anything(served):
    with raw(served.server.path) as peer:
        peer.sendall(frames.frame(frames.hello() | {"version": 99}))
        with pytest.raises(Misconfigured, match="same release"):
            frames.check_hello(frames.receive(peer))
        assert peer.recv(1) == b""


def test_a_server_of_another_release_is_misconfigured_and_not_down(tmp_path, monkeypatch):
    store = ServedStore(tmp_path)
    real = frames.hello
    monkeypatch.setattr(client, "hello", lambda: real() | {"version": 99})
    with pytest.raises(Misconfigured, match="same release"):
        client.answers(store.server.path)
    monkeypatch.undo()
    store.close()


STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
peer = socket.socket(socket.AF_UNIX)
try:
    peer.connect(sys.argv[1])
except PermissionError:
    sys.exit("denied")
try:
    peer.sendall(bytes.fromhex(sys.argv[2]))
    print(peer.recv(1000))
except OSError as exc:
    print(exc)
"""


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_process_of_another_user_is_refused(mode):
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = ServedStore(Path(folder))
        try:
            assert stat.S_IMODE(store.server.path.stat().st_mode) == 0o600
            store.server.path.chmod(mode)
            done = subprocess.run(
                [sys.executable, "-c", STRANGER, str(store.server.path), frames.frame(frames.hello()).hex()],
                capture_output=True,
                text=True,
                timeout=60,
            )
            if mode == 0o600:
                assert "denied" in done.stderr
            else:
                assert "run both as one user" in done.stdout, done
            assert store.indexes() == []
        finally:
            store.close()


def test_a_path_too_long_for_the_kernel_is_served_all_the_same(tmp_path):
    root = tmp_path / ("long" * 30) / ("longer" * 20)
    store = ServedStore(root)
    store.create(INDEX)
    put(store, 1)
    assert numbers(store) == [1]
    assert len(os.fsencode(store.server.path)) > 200
    store.close()
    assert not store.server.path.exists()


# The engine through it


def test_an_index_bricked_by_its_log_is_recovered_and_named_to_clients(store, monkeypatch):
    put(store, 1, 2)
    store.flush(INDEX)
    ragged = Sparse(np.asarray([1, 2], np.uint32), np.asarray([1], np.float32))
    said = make_points([make_asset(number=3)], {TERMS: [sparse(i1=1)]})
    with monkeypatch.context() as patched:
        patched.setattr(edge, "check_points", lambda *_: None)
        patched.setattr(client, "check_points", lambda *_: None)
        patched.setattr(frames, "_UNREADABLE", ())
        patched.setattr("core.stores.wire.vectors_from", lambda _: [ragged])
        with pytest.raises(IndexDrifted, match="panicked"):
            store.upsert(INDEX, said)
    assert set(numbers(store)) >= {1, 2}
    assert store.recovered == ["i"]
    put(store, 4)
    assert 4 in numbers(store)


def test_searches_and_writes_go_on_while_a_grown_index_is_optimized(tmp_path):
    space = make_space("wide", 64)
    index = replace(INDEX, spaces=(space,))
    store = ServedStore(tmp_path, optimize_after=20_000)
    store.create(index)
    rows = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = Nearest(space=space, vector=rows[7], scope=T, limit=1)
    shards = lambda: {p.name for p in (tmp_path / "i.index").glob("shard-*")}  # noqa: E731
    for start in range(0, 20_000, 500):
        part = range(start, start + 500)
        store.upsert(index, make_points([make_asset(number=n) for n in part], {space: list(rows[start : start + 500])}))
    until(lambda: len(shards()) == 2)
    asked, slowest, late = 0, 0.0, 20_000
    limit = monotonic() + 120
    while len(shards()) == 2:
        assert monotonic() < limit
        began = monotonic()
        hit = store.search(index, [query])[0][0]
        slowest, asked = max(slowest, monotonic() - began), asked + 1
        assert UUID(hit.payload["asset"]).int == 7
        late += 1
        store.upsert(index, make_points([make_asset(number=late)], {space: [rows[late % 20_000]]}))
    assert asked > 10
    assert slowest < 10
    assert "shard-0" not in shards(), "the optimized copy is in use"
    assert store.count(index, T) == late
    assert UUID(store.search(index, [query])[0][0].payload["asset"]).int in {7, 20_007}
    store.close()


def test_what_others_wrote_before_it_began_counts_too(tmp_path, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(EdgeStore, "optimize", lambda _, index: seen.append(index.id))
    first = ServedStore(tmp_path)
    first.create(INDEX)
    put(first, *range(1, 300))
    first.close()
    assert seen == []
    store = ServedStore(tmp_path, optimize_after=299)
    assert len(search(store)) == 5
    until(lambda: seen == ["i"])
    put(store, *range(300, 500))
    sleep(0.1)
    assert seen == ["i"], "it has not grown enough again"
    put(store, *range(500, 700))
    until(lambda: seen == ["i", "i"])
    store.close()


def test_a_failed_optimizing_is_logged_and_tried_again(tmp_path, monkeypatch, caplog):
    tries: list[str] = []

    def optimize(_: EdgeStore, index: Index) -> None:
        tries.append(index.id)
        if len(tries) < 3:
            raise Conflict("not now")

    monkeypatch.setattr(EdgeStore, "optimize", optimize)
    held = EdgeStore(tmp_path)
    held.create(INDEX)
    keeper = upkeep.Upkeep(held, 10, retry=0.05)
    keeper.note(INDEX, 0)
    sleep(0.1)
    assert tries == []
    for _ in range(3):
        keeper.note(INDEX, 10)
    until(lambda: len(tries) == 3)
    assert "tried again: not now" in caplog.text
    sleep(0.2)
    assert len(tries) == 3
    keeper.stop()
    held.close()


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
