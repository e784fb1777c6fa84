"""A fault at every call that a reindexing makes, in each of its steps: run again, it goes on, and nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import Conflict, Fault, StoreDown
from core.records import IndexState
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from tests.doubles import Flaky
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import SWITCHED, check_all, embedded, names, opened, put, switched
from workers import rebuilding, reindex
from workers.removal import remove
from workers.verify import verify

EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 15  # at each how-manyeth call it fails
TEXTS = {"red": "red red", "green": "green", "blue": "a blue cat", "gone": "green dog", "changed": "red"}


class Killed(BaseException):
    """What no code of ours catches: as if the process had died, without the time to start one."""


def start(parts: Parts) -> None:
    if parts.catalogue.serving("c").profile == "toy":
        with suppress(Conflict):
            reindex.start(parts, "c", SWITCHED)


def build(parts: Parts) -> None:
    rebuilding.run(parts, "c", lanes=1)


def change(parts: Parts) -> None:
    put(parts, {"changed": "blue now", "new": "green new"})
    ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c") if asset.external_id == "gone"]
    remove(parts, ME, "c", ids)


def check_it(parts: Parts) -> None:
    while not verify(parts, "c", sample=4).passed:
        build(parts)


def switch(parts: Parts) -> None:
    if parts.catalogue.serving("c").profile == "toy":
        reindex.switch(parts, "c")


def back(parts: Parts) -> None:
    if parts.catalogue.serving("c").profile == "turned":
        reindex.rollback(parts, "c")


def retire(parts: Parts) -> None:
    reindex.retire(parts, "c")


STORY: list[Callable[[Parts], None]] = [start, build, change, build, check_it, switch, change, back, retire]


def wired(data: Path, store: MemoryStore, before: Callable[[str], None]) -> Parts:
    parts = opened(data, Flaky(store, before), batch=2, lanes=1)
    parts.__dict__["catalogue"] = Flaky(parts.catalogue, before)
    return parts


@pytest.mark.parametrize("death", [False, True], ids=["fault", "death"])
@pytest.mark.parametrize("step", range(len(STORY)), ids=lambda i: f"{i}-{STORY[i].__name__}")
def test_whatever_breaks_in_a_step_the_step_again_makes_good(step: int, death: bool, tmp_path: Path) -> None:
    def run(fail_at: int) -> bool:
        calls, armed = 0, False

        def before(name: str) -> None:
            nonlocal calls
            calls += armed
            if armed and calls == fail_at:
                raise Killed if death else StoreDown(f"{name}: the {calls}th call")

        data = tmp_path / f"at-{fail_at}"
        store = MemoryStore()
        first = embedded(data)
        first.store.close()
        first.__dict__["store"] = store
        store.create(first.catalogue.serving("c"))
        put(first, TEXTS)
        first.close()
        parts = wired(data, store, before)
        for earlier in STORY[:step]:
            earlier(parts)
        armed = True
        with suppress(Fault, Killed):
            STORY[step](parts)
        armed = False
        for worker in parts.catalogue.holders():  # the dead one
            parts.catalogue.expire(worker)
        for later in STORY[step:]:
            later(parts)
            assert names(parts, "red"), later.__name__
            assert names(parts, "green"), later.__name__
        upkeep(parts)
        check_all(parts)
        assert [tended.index.state for tended in parts.catalogue.tended("c")] == [
            IndexState.SERVING,
            IndexState.RETIRED,
        ]
        assert parts.store.indexes() == [parts.catalogue.serving("c").id]
        there = {asset.external_id for asset, _ in parts.catalogue.assets(ME, "c")}
        assert there == {*TEXTS, "new"} - {"gone"}
        parts.close()
        return calls >= fail_at

    fail_at = 1 + step % EVERY
    while run(fail_at):
        fail_at += EVERY


def test_a_build_that_is_given_up_at_any_call_leaves_the_old_one_alone(tmp_path: Path) -> None:
    fail_at, reached = 1, True
    while reached:
        parts = embedded(tmp_path / f"at-{fail_at}")
        put(parts, TEXTS)
        start(parts)
        build(parts)
        calls = 0

        def before(name: str, at: int = fail_at) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise Killed

        real = dict(parts.__dict__)
        for part in ("store", "catalogue"):
            parts.__dict__[part] = Flaky(real[part], before)
        with suppress(Killed):
            reindex.abort(parts, "c")
        reached = calls >= fail_at
        parts.__dict__.update(real)
        reindex.abort(parts, "c")
        assert parts.store.indexes() == [parts.catalogue.serving("c").id]
        assert names(parts, "red")
        switched(parts)
        check_all(parts)
        parts.close()
        fail_at += EVERY
