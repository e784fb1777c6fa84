"""The store's socket: strangers at it, and the engine behind it, recovered and optimized."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, Defect, IndexDrifted, Misconfigured
from core.points import Nearest
from core.records import Index
from core.spaces import Sparse
from core.stores import edge_shard, frames, upkeep
from core.stores import process as client
from core.stores.edge import EdgeStore
from tests.serving import INDEX, TERMS, ServedStore, T, numbers, put, search, until
from tests.strategies import make_asset, make_points, make_space, sparse


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
                # or it was refused before it had said all
                assert "run both as one user" in done.stdout or "Broken pipe" in done.stdout, done
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
        patched.setattr(edge_shard, "check_points", lambda *_: None)
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

    def shards() -> set[str]:
        return {p.name for p in (tmp_path / "i.index").glob("shard-*")}

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
    tries: list[float] = []

    def optimize(_: EdgeStore, index: Index) -> None:
        tries.append(monotonic())
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
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(tries)), "not at once"
    sleep(0.2)
    assert len(tries) == 3
    keeper.stop()
    held.close()
