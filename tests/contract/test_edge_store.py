"""What the embedded store adds to the port: locks, crashes, recovery and optimizing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from core.errors import (
    BadPoint,
    Conflict,
    Defect,
    IndexDrifted,
    ModelMismatch,
    NoSuchCollection,
    StoreDown,
    StoreLocked,
)
from core.points import Nearest, Scope
from core.records import Index, IndexState
from core.spaces import Metric, Sparse
from core.stores import edge_folder, edge_optimize, edge_shard
from core.stores.edge import EdgeStore
from core.stores.edge_shard import Shard
from core.stores.edge_types import translated
from core.types import AssetId, Tenant
from tests.strategies import FIELDS, make_asset, make_points, make_space, sparse, unit

WORDS = make_space()
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(WORDS, TERMS), fields=FIELDS)
T = Scope(tenant=Tenant("t"))
RAGGED = Sparse(np.asarray([1, 2], np.uint32), np.asarray([1], np.float32))

CHILD = """
import sys, time
from pathlib import Path
from core.stores import edge_changes, edge_optimize
from core.stores.edge import EdgeStore
from tests.contract.test_edge_store import INDEX, put

def wait(*_):
    print("ready", flush=True)
    time.sleep(60)

store = EdgeStore(Path(sys.argv[1]))
store.create(INDEX)
put(store, *range(1, 300))
if sys.argv[2] == "flushed":
    store.flush(INDEX)
if sys.argv[2] == "while its copy is optimized":
    edge_optimize.in_child = wait
    store.optimize(INDEX)
if sys.argv[2] == "while its copy catches up":
    edge_changes.catch_up = wait
    store.optimize(INDEX)
wait()
"""


def put(store: EdgeStore, *numbers: int, generation: int = 1) -> None:
    assets = [make_asset(number=n, generation=generation, metadata={"a_integer": n}) for n in numbers]
    vectors = [unit(1, n % 7, n % 3, 0) for n in numbers]
    store.upsert(INDEX, make_points(assets, {WORDS: vectors, TERMS: [sparse(i1=1)] * len(numbers)}))


def numbers(store: EdgeStore) -> list[int]:
    return sorted(UUID(point.payload["asset"]).int for point in store.scroll(INDEX, limit=10_000))


@pytest.fixture
def store(tmp_path) -> Iterator[EdgeStore]:
    store = EdgeStore(tmp_path)
    store.create(INDEX)
    yield store
    store.close()


@pytest.fixture
def child(request, tmp_path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder, with 299 points; `request.param` says how far it has come."""
    how = [sys.executable, "-c", CHILD, str(tmp_path), getattr(request, "param", "flushed")]
    with subprocess.Popen(how, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_what_was_written_is_there_after_closing_and_opening_again(store, tmp_path):
    put(store, *range(1, 600))
    store.close()
    again = EdgeStore(tmp_path)
    assert again.indexes() == ["i"]
    assert numbers(again) == list(range(1, 600))
    (held,) = again.of_assets(INDEX, [AssetId(UUID(int=5))])
    vector = held.vectors[WORDS.vector_name]
    assert isinstance(vector, np.ndarray)
    np.testing.assert_allclose(vector, unit(1, 5, 2, 0), atol=1e-6)
    assert again.recovered == []
    again.close()


@pytest.mark.parametrize(
    "child",
    ["flushed", "not flushed", "while its copy is optimized", "while its copy catches up"],
    indirect=True,
)
def test_a_killed_process_loses_nothing_and_leaves_no_lock(child, tmp_path):
    child.send_signal(signal.SIGKILL)
    child.wait()
    store = EdgeStore(tmp_path)
    assert numbers(store) == list(range(1, 300))
    assert len(list((tmp_path / "i.index").glob("shard-*"))) == 1
    store.close()


def test_a_second_process_is_refused_and_told_who_holds_the_folder(child, tmp_path):
    with pytest.raises(StoreLocked, match=rf"process {child.pid} holds .*: stop it"):
        EdgeStore(tmp_path)


def test_a_second_instance_is_refused_until_the_first_is_closed(store, tmp_path):
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} holds"):
        EdgeStore(tmp_path)
    store.close()
    EdgeStore(tmp_path).close()


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreDown, match="closed"):
        store.count(INDEX, T)


def test_a_folder_that_cannot_be_used_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreDown, match="file"):
        EdgeStore(tmp_path / "file" / "store")


def test_a_fork_is_refused_instead_of_hanging(store):
    put(store, 1)
    if (child := os.fork()) == 0:
        signal.alarm(20)  # it would hang: the engine's threads are not there
        try:
            store.count(INDEX, T)
        except Defect:
            store.close()  # does nothing: the shards are the parent's
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert store.count(INDEX, T) == 1


def test_what_a_killed_process_left_half_made_is_swept(store, tmp_path):
    put(store, 1)
    store.close()
    for left in ("other.draft", "other.gone", "i.index/shard-1234"):
        (tmp_path / left / "segments").mkdir(parents=True)
    again = EdgeStore(tmp_path)
    assert again.indexes() == ["i"]
    assert numbers(again) == [1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.index", "lock"]
    assert [p.name for p in (tmp_path / "i.index").glob("shard-*")] == ["shard-0"]
    again.close()


def test_an_index_bricked_by_its_log_is_recovered_and_named(store, monkeypatch, caplog):
    """Were a malformed point ever to get past our checks."""
    put(store, 1, 2)
    store.flush(INDEX)
    good = make_points([make_asset(number=3)], {})
    with monkeypatch.context() as patched:
        patched.setattr(edge_shard, "check_points", lambda *_: None)
        with pytest.raises(IndexDrifted, match="panicked"):
            store.upsert(INDEX, replace(good, columns={TERMS: edge_column(RAGGED)}))
    with caplog.at_level(logging.WARNING):
        assert set(numbers(store)) >= {1, 2}
    assert store.recovered == ["i"]
    assert "moved to" in caplog.text
    put(store, 4)
    assert 4 in numbers(store)


def test_a_vector_of_an_unknown_space_never_reaches_the_log(store, monkeypatch):
    """It would leave a phantom point behind when the log is replayed."""
    monkeypatch.setattr(Shard, "_update", lambda *_: pytest.fail("it reached the engine"))
    other = replace(WORDS, revision="r2")
    with pytest.raises(ModelMismatch, match="reindex"):
        store.upsert(replace(INDEX, spaces=(other,)), make_points([make_asset()], {other: [unit(1, 0, 0, 0)]}))


def edge_column(*vectors: Sparse):
    return make_points([make_asset()], {TERMS: list(vectors)}).columns[TERMS]


def search(store: EdgeStore) -> list[tuple[int, float]]:
    query = Nearest(space=WORDS, vector=unit(1, 0, 0, 0), scope=T, limit=20, exact=True)
    hits = store.search(INDEX, [query])[0]
    return [(UUID(hit.payload["asset"]).int, round(hit.score, 5)) for hit in hits]


def test_optimizing_changes_no_answer_and_keeps_what_was_written_meanwhile(store, tmp_path, monkeypatch):
    put(store, *range(1, 500))
    real = edge_optimize.in_child

    def meanwhile(copied: Path) -> None:
        real(copied)
        put(store, 1, generation=5)
        put(store, *range(1000, 1010))
        store.forget(INDEX, {AssetId(UUID(int=n)): None for n in (2, 1001)})
        put(store, 2, generation=2)
        store.forget(INDEX, {AssetId(UUID(int=1)): 3, AssetId(UUID(int=3)): 2})
        with pytest.raises(Conflict, match="wait"):
            store.optimize(INDEX)

    monkeypatch.setattr(edge_optimize, "in_child", meanwhile)
    store.optimize(INDEX)
    wanted = [1, 2, *range(4, 500), 1000, *range(1002, 1010)]
    assert numbers(store) == wanted
    answer = search(store)
    (first,) = store.of_assets(INDEX, [AssetId(UUID(int=1))])
    assert first.payload["generation"] == 5
    store.close()
    again = EdgeStore(tmp_path)
    assert numbers(again) == wanted
    assert search(again) == answer
    assert len(list((tmp_path / "i.index").glob("shard-*"))) == 1
    again.close()


def sure(answer: list[tuple[int, float]]) -> tuple[list[float], list[tuple[int, float]]]:
    """Its scores, and its points but for those that share the last score: which of these are cut off is chance."""
    return [near for _, near in answer], [point for point in answer if point[1] > answer[-1][1]]


def test_searches_go_on_while_an_index_is_optimized(store):
    put(store, *range(1, 200))
    before = search(store)
    worker = threading.Thread(target=store.optimize, args=[INDEX])
    worker.start()
    answers = [search(store)]
    while worker.is_alive():
        answers.append(search(store))
    worker.join()
    assert len(answers) > 10
    assert all(sure(answer) == sure(before) for answer in [*answers, search(store)])


def test_a_failed_optimizing_changes_nothing(store, tmp_path, monkeypatch):
    put(store, 1)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(StoreDown, match="status 1"):
        store.optimize(INDEX)
    monkeypatch.undo()
    assert numbers(store) == [1]
    assert [p.name for p in (tmp_path / "i.index").glob("shard-*")] == ["shard-0"]
    store.optimize(INDEX)


def test_an_index_dropped_while_it_is_optimized_stays_dropped(store, monkeypatch):
    put(store, 1)
    monkeypatch.setattr(edge_optimize, "in_child", lambda _: store.drop("i"))
    store.optimize(INDEX)
    assert store.indexes() == []


def test_a_disk_that_is_nearly_full_takes_no_points_and_gives_those_it_has(store, monkeypatch):
    put(store, 1, 2)
    monkeypatch.setattr(edge_folder, "LEAST", 1 << 60)
    with pytest.raises(StoreDown, match=r"no space left to write points.*make room"):
        put(store, 3)
    with pytest.raises(StoreDown, match="make room"):
        store.create(replace(INDEX, id="another"))
    store.create(INDEX)  # is there
    store.flush(INDEX)
    assert numbers(store) == [1, 2]
    store.forget(INDEX, {AssetId(UUID(int=1)): None})
    assert numbers(store) == [2]
    monkeypatch.undo()
    put(store, 3)
    assert numbers(store) == [2, 3]


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        (Exception("failed to open WAL: Kind(WouldBlock)"), StoreLocked),
        (Exception("Not existing vector name error: x"), ModelMismatch),
        (Exception("Vector dimension error: expected dim: 8, got 5"), BadPoint),
        (Exception("Wrong usage of sparse vectors"), BadPoint),
        (ValueError("NaN"), BadPoint),
        (OverflowError("int too big"), BadPoint),
        (Exception("Service runtime error: No space left on device"), StoreDown),
        (OSError(28, "No space left on device"), StoreDown),
        (KeyError("ours"), Defect),
        (NoSuchCollection(), NoSuchCollection),
    ],
)
def test_every_error_of_the_engine_has_its_fault(raised, fault):
    with pytest.raises(fault) as caught, translated():
        raise raised
    assert type(caught.value) is fault


def test_what_is_not_an_error_passes_through():
    with pytest.raises(KeyboardInterrupt), translated():
        raise KeyboardInterrupt
