"""Optimizing 100,000 points is not felt: no search over the socket is slow or wrong, and a kill loses nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import sleep

import pytest

from core.errors import StoreDown
from core.stores.process import ProcessStore
from core.stores.spawn import spawn
from tests.optimizing import Crowd, fill, index_of, rows_of
from tests.serving import until
from tests.slow.others import others

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
POINTS, DIM, AFTER = 100_000, 512, 20_000
SLOWEST = 0.2  # seconds
ROUNDS = 3  # on a machine on which others work


def shards(root: Path) -> set[str]:
    return {p.name for p in (root / "i.index").glob("shard-*")}


def go_on(crowd: Crowd, searches: int) -> None:
    asked = len(crowd.took)
    until(lambda: len(crowd.took) > asked + searches, 120)


def optimized(root: Path, crowd: Crowd) -> float:
    """A crowd from before the copy until well after the change. How many cores others used meanwhile."""
    with spawn(root, optimize_after=AFTER) as spawned:
        store = ProcessStore(spawned.path)
        store.create(crowd.index)
        fill(store, crowd.index, crowd.rows, 0, crowd.filled)
        until(lambda: len(shards(root)) == 1 and "shard-0" not in shards(root), 1200)
        before = shards(root)
        with others() as load, crowd.at(store):
            fill(store, crowd.index, crowd.rows, crowd.filled)
            until(lambda: len(shards(root)) == 2, 120)
            until(lambda: len(shards(root)) == 1 and not before & shards(root), 1200)
            go_on(crowd, 500)
        assert crowd.check(store) == []
        store.close()
    return load.cores


def test_no_search_is_slow_or_wrong_while_100_000_points_are_optimized(tmp_path, capsys):
    rows = rows_of(POINTS + AFTER, DIM)
    for turn in range(ROUNDS):
        crowd = Crowd(index_of(DIM), rows, filled=POINTS)
        cores = optimized(tmp_path / str(turn), crowd)
        with capsys.disabled():
            sys.stdout.write(f"\n{crowd.said()}; others used {cores:.2f} cores\n")
        assert crowd.wrong == []
        slowest = max(took for _, took in crowd.took)
        if slowest < SLOWEST or cores <= 0.5:
            break
    assert slowest < SLOWEST


def children(pid: int) -> list[int]:
    said = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return sorted(int(child) for each in said for child in each)


@pytest.mark.parametrize("moment", [0.0, 0.2, 1.0, 3.0, 6.0, 10.0])
@pytest.mark.parametrize("who", ["store", "children"])
def test_a_kill_at_any_moment_of_optimizing_loses_nothing(tmp_path, who, moment):
    """Seconds after the copy has begun; the second optimizing replaces one engine by the next."""
    rows = rows_of(20_000, 64)
    crowd = Crowd(index_of(64), rows)
    for turn in range(2):
        with spawn(tmp_path, optimize_after=len(rows) // (1 + 99 * turn)) as spawned:
            store = ProcessStore(spawned.path)
            store.create(crowd.index)
            if not turn:
                fill(store, crowd.index, rows)
            try:
                with crowd.at(store):
                    until(lambda: len(shards(tmp_path)) == 2 or "shard-0" not in shards(tmp_path), 120)
                    sleep(moment)
                    if who == "store":
                        spawned.kill()
                    else:
                        for child in children(spawned.pid):
                            os.kill(child, signal.SIGKILL)
                        go_on(crowd, 50)
            except StoreDown:
                assert who == "store"
            store.close()
        with spawn(tmp_path) as again:
            store = ProcessStore(again.path)
            assert crowd.check(store) == []
            assert crowd.wrong == []
            store.close()
        assert len(shards(tmp_path)) == 1
