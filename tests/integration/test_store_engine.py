"""An optimized index goes on in a process of its own: replaced, killed, dropped and closed, it loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from core.errors import NoSuchCollection, StoreDown, StoreLocked
from core.stores import edge_changes, edge_folder, edge_optimize
from core.stores.edge import EdgeStore
from core.stores.engine import Engine
from core.stores.folder_lock import FolderLock
from tests.optimizing import Crowd, fill, held, index_of, rows_of, write
from tests.serving import until

INDEX = index_of(8)
ROWS = rows_of(600, 8)

CHILD = """
import sys, time
from pathlib import Path
from core.stores import edge_changes, edge_folder, edge_optimize
from core.stores.edge import EdgeStore
from core.stores.engine import Engine
from tests.integration.test_store_engine import INDEX, ROWS
from tests.optimizing import fill, write
from tests.strategies import make_asset

def wait(*_):
    print("ready", flush=True)
    time.sleep(60)

store = EdgeStore(Path(sys.argv[1]), engines=True)
store.create(INDEX)
fill(store, INDEX, ROWS, 0, 300)
when, real = sys.argv[2], edge_optimize.in_child

def meanwhile(copied):
    real(copied)
    fill(store, INDEX, ROWS, 300, 400)
    store.forget(INDEX, {make_asset(number=n).id: None for n in (2, 302)})

edge_optimize.in_child = meanwhile
if when == "it is copied":
    edge_folder.shutil.copytree = wait
if when == "it catches up":
    edge_changes.catch_up = wait
if when == "the pointer has not moved":
    edge_folder.point_at = wait
if when == "the pointer has moved":
    moved = edge_folder.point_at
    edge_folder.point_at = lambda *said: (moved(*said), wait())
if when == "the old one is discarded":
    discard = edge_folder.discard
    edge_folder.discard = wait
store.optimize(INDEX)
if when == "it serves":
    write(store, INDEX, range(401, 501), ROWS[400:500])
if when == "it is optimized again":
    store.optimize(INDEX)
wait()
"""


@pytest.fixture
def store(tmp_path) -> Iterator[EdgeStore]:
    store = EdgeStore(tmp_path, engines=True)
    store.create(INDEX)
    fill(store, INDEX, ROWS, 0, 300)
    yield store
    store.close()


def engine(store: EdgeStore) -> Engine:
    held = store._held["i"]
    assert isinstance(held, Engine)
    return held


def shards(root: Path) -> list[str]:
    return [p.name for p in (root / "i.index").glob("shard-*")]


def ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_an_optimized_index_is_served_by_a_process_and_the_next_one_replaces_it(store, tmp_path):
    store.optimize(INDEX)
    first = engine(store).pid
    assert first != os.getpid()
    assert len(held(store, INDEX)) == 300
    assert store.unindexed(INDEX) >= 0
    fill(store, INDEX, ROWS, 300, 400)
    store.optimize(INDEX)
    second = engine(store).pid
    assert second != first
    assert ended(first)
    assert len(held(store, INDEX)) == 400
    assert len(shards(tmp_path)) == 1
    store.close()
    assert ended(second)
    again = EdgeStore(tmp_path)
    assert len(held(again, INDEX)) == 400
    again.close()
    served = EdgeStore(tmp_path, engines=True)
    assert len(held(served, INDEX)) == 400
    engine(served)
    served.close()


def test_a_killed_engine_loses_nothing_and_nobody_is_told(store):
    store.optimize(INDEX)
    crowd = Crowd(INDEX, ROWS, filled=300)
    with crowd.at(store, pause=0.01):
        until(lambda: len(crowd.writes) > 20)
        killed = engine(store).pid
        os.kill(killed, signal.SIGKILL)
        before = len(crowd.writes)
        until(lambda: len(crowd.writes) > before + 20)
        assert engine(store).pid != killed
        store.optimize(INDEX)
    assert crowd.wrong == []
    assert crowd.check(store) == []


def test_an_engine_killed_while_its_predecessor_is_closed_loses_nothing(store, tmp_path, monkeypatch):
    """What it serves is the index by then, whoever serves it."""
    store.optimize(INDEX)
    fill(store, INDEX, ROWS, 300, 400)
    old, close = engine(store), Engine.close

    def closing(one: Engine, **said: bool) -> None:
        if one is old:
            os.kill(engine(store).pid, signal.SIGKILL)
            assert len(held(store, INDEX)) == 400
        close(one, **said)

    monkeypatch.setattr(Engine, "close", closing)
    store.optimize(INDEX)
    assert len(held(store, INDEX)) == 400
    assert len(shards(tmp_path)) == 1
    fill(store, INDEX, ROWS, 400, 500)
    store.close()
    again = EdgeStore(tmp_path)
    assert len(held(again, INDEX)) == 500
    again.close()


@pytest.mark.parametrize(
    "when",
    [
        pytest.param("it is built", marks=pytest.mark.slow),
        pytest.param("it catches up", marks=pytest.mark.slow),
        "the pointer moves",
    ],
)
def test_an_engine_killed_while_its_successor_is_made_changes_nothing(store, monkeypatch, when):
    store.optimize(INDEX)
    module, name = {
        "it is built": (edge_optimize, "in_child"),
        "it catches up": (edge_changes, "catch_up"),
        "the pointer moves": (edge_folder, "point_at"),
    }[when]
    real = getattr(module, name)

    def killing(*said: object) -> None:
        os.kill(engine(store).pid, signal.SIGKILL)
        fill(store, INDEX, ROWS, 300, 400)
        monkeypatch.setattr(module, name, real)
        real(*said)

    if when == "the pointer moves":  # within the step others may not write

        def killing(*said: object) -> None:
            os.kill(engine(store).pid, signal.SIGKILL)
            real(*said)

    monkeypatch.setattr(module, name, killing)
    store.optimize(INDEX)
    fill(store, INDEX, ROWS, 300, 400)
    assert sorted(held(store, INDEX)) == list(range(1, 401))
    engine(store)


def test_a_successor_that_dies_while_it_catches_up_changes_nothing(store, tmp_path, monkeypatch):
    made: list[Engine] = []
    real = edge_changes.catch_up

    def killing(read, new, index, assets):
        made.append(new)
        os.kill(new.pid, signal.SIGKILL)
        real(read, new, index, assets)

    def meanwhile(copied: Path) -> None:
        fill(store, INDEX, ROWS, 300, 400)

    monkeypatch.setattr(edge_optimize, "in_child", meanwhile)
    monkeypatch.setattr(edge_changes, "catch_up", killing)
    with pytest.raises(StoreDown):
        store.optimize(INDEX)
    monkeypatch.undo()
    assert ended(made[0].pid)
    assert shards(tmp_path) == ["shard-0"]
    assert len(held(store, INDEX)) == 400
    store.optimize(INDEX)
    assert len(held(store, INDEX)) == 400


@pytest.mark.parametrize(
    ("when", "last"),
    [
        pytest.param("it is copied", 300, marks=pytest.mark.slow),
        ("it catches up", 400),
        pytest.param("the pointer has not moved", 400, marks=pytest.mark.slow),
        ("the pointer has moved", 400),
        pytest.param("the old one is discarded", 400, marks=pytest.mark.slow),
        pytest.param("it serves", 500, marks=pytest.mark.slow),
        pytest.param("it is optimized again", 400, marks=pytest.mark.slow),
    ],
)
def test_a_store_killed_while_engines_change_loses_nothing_and_they_end_with_it(tmp_path, when, last):
    how = [sys.executable, "-c", CHILD, str(tmp_path), when]
    with subprocess.Popen(how, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    again = EdgeStore(tmp_path)
    gone = {2, 302} if last > 300 else set()  # a copy is made before any of that
    assert set(held(again, INDEX)) == set(range(1, last + 1)) - gone
    assert len(shards(tmp_path)) == 1
    again.close()


def test_searches_do_not_wait_for_the_copy_and_writes_do(tmp_path, monkeypatch):
    store = EdgeStore(tmp_path)
    store.create(INDEX)
    fill(store, INDEX, ROWS, 0, 300)
    go, real = Event(), edge_folder.copy

    def slow(root: Path, index_id: str) -> Path:
        began.set()
        go.wait(20)
        return real(root, index_id)

    began = Event()
    monkeypatch.setattr(edge_folder, "copy", slow)
    optimizing = Thread(target=store.optimize, args=[INDEX])
    writing = Thread(target=write, args=[store, INDEX, range(301, 302), ROWS[300:301]])
    optimizing.start()
    assert began.wait(20)
    writing.start()
    Crowd(INDEX, ROWS, filled=300).ask(store, 0)
    sleep(0.1)
    assert writing.is_alive()
    go.set()
    writing.join(20)
    optimizing.join(60)
    assert len(held(store, INDEX)) == 301
    store.close()


def test_an_index_is_dropped_with_its_engine(store, tmp_path):
    store.optimize(INDEX)
    pid = engine(store).pid
    store.drop("i")
    assert ended(pid)
    with pytest.raises(NoSuchCollection):
        held(store, INDEX)
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
    store.create(INDEX)
    assert held(store, INDEX) == {}


def test_an_engine_that_does_not_end_keeps_the_next_store_out_by_name(store, tmp_path, monkeypatch):
    store.optimize(INDEX)
    store.close()
    (copied,) = (tmp_path / "i.index").glob("shard-*")
    keeper = FolderLock(copied)
    monkeypatch.setattr(edge_folder, "_PATIENCE", 0.1)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} holds .*shard-"):
        EdgeStore(tmp_path)
    keeper.release()
    began = monotonic()
    EdgeStore(tmp_path).close()
    assert monotonic() - began < 5
