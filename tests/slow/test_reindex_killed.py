"""A process killed at any call of a reindexing, on the real engine and a real database: run again, it goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from core.records import IndexState
from tests.doubles import Flaky
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import check_all, names, opened, put
from tests.flow.test_reindex_crashes import STORY, TEXTS
from workers.collections import ensure

pytestmark = pytest.mark.slow
EVERY = 6  # at each how-manyeth call the process is killed


def _die_at(data: Path, step: int, die_at: int) -> None:
    calls = 0

    def before(_name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    parts = opened(data, batch=2, lanes=1)
    for part in ("catalogue", "store"):
        parts.__dict__[part] = Flaky(getattr(parts, part), before)
    STORY[step](parts)
    parts.close()


@pytest.mark.parametrize("step", range(len(STORY)), ids=lambda i: f"{i}-{STORY[i].__name__}")
def test_a_process_killed_in_a_step_loses_nothing_and_brings_nothing_back(step: int, tmp_path: Path) -> None:
    server = multiprocessing.get_context("forkserver")  # forks a process that never opened an index
    server.set_forkserver_preload(["tests.slow.test_reindex_killed", "core.stores.edge"])
    die_at, survived = 1 + step % EVERY, False
    while not survived:
        data = tmp_path / f"at-{die_at}"
        parts = opened(data, batch=2, lanes=1)
        ensure(parts, "c", {})
        put(parts, TEXTS)
        for earlier in STORY[:step]:
            earlier(parts)
        parts.close()
        child = server.Process(target=_die_at, args=(data, step, die_at))
        child.start()
        child.join(120)
        survived = child.exitcode == 0
        assert survived or child.exitcode == -signal.SIGKILL
        parts = opened(data, batch=2, lanes=1)
        for later in STORY[step:]:
            later(parts)
            assert names(parts, "red"), later.__name__
        upkeep(parts)
        check_all(parts)
        states = [tended.index.state for tended in parts.catalogue.tended("c")]
        assert states == [IndexState.SERVING, IndexState.RETIRED]
        assert parts.store.indexes() == [parts.catalogue.serving("c").id]
        assert {asset.external_id for asset, _ in parts.catalogue.assets(ME, "c")} == {*TEXTS, "new"} - {"gone"}
        parts.close()
        die_at += EVERY
