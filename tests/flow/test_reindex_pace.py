"""The rate of a build: kept by all who build, and what is said of the build while it waits is heard at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import pytest

from core.errors import Conflict
from core.records import State
from core.runtime.wiring import Parts
from tests.flow.promises import ME
from tests.flow.reindexed import SWITCHED, put
from workers import rebuilding, reindex
from workers.rebuilding import Progress, build_a_while

SLOW = 0.001  # assets a second: nothing more within a test
LONG = 30.0  # seconds within which a test would have failed


@pytest.fixture
def parts(coloured: Parts) -> Parts:
    return coloured


def built(parts: Parts) -> int:
    return parts.catalogue.coverage(reindex.coming(parts, "c").index).held


@contextmanager
def throttled(parts: Parts) -> Iterator[Thread]:
    """A build that waits for its second turn, in a thread of its own."""
    reindex.start(parts, "c", SWITCHED, rate=SLOW)
    ended: list[Progress | Conflict] = []

    def run() -> None:
        try:
            ended.append(rebuilding.run(parts, "c", stopping=stopping))
        except Conflict as over:
            ended.append(over)

    stopping = Event()
    thread = Thread(target=run)
    thread.start()
    try:
        until(lambda: built(parts) == 1)
        yield thread
        thread.join(LONG)
        assert ended, "it goes on to wait"
    finally:
        stopping.set()
        thread.join()


def until(so: Callable[[], bool]) -> None:
    end = monotonic() + LONG
    while not so():
        assert monotonic() < end
        Event().wait(0.01)


def test_a_rate_is_kept(parts: Parts) -> None:
    put(parts, {f"a{i:02}": "green" for i in range(8)})
    began = monotonic()
    reindex.start(parts, "c", SWITCHED, rate=8)
    assert rebuilding.run(parts, "c").built
    assert monotonic() - began >= 1.0, "12 at 8 a second, the first turn at once"


def test_a_rate_is_kept_from_slice_to_slice_of_the_background(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "SLICE", 0.3)
    reindex.start(parts, "c", SWITCHED, rate=SLOW)
    for _ in range(3):
        assert build_a_while(parts, "c", stopping=Event())
        assert built(parts) == 1, "a slice has no turn for nothing"


def test_a_rate_is_of_all_who_build_together(parts: Parts) -> None:
    reindex.start(parts, "c", SWITCHED, rate=SLOW)
    threads = [Thread(target=rebuilding.run, args=(parts, "c"), kwargs={"seconds": 0.5, "lanes": 1}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built(parts) == 1


def test_a_build_that_waits_for_its_turn_hears_of_a_pause(parts: Parts) -> None:
    with throttled(parts):
        reindex.pause(parts, "c")
    assert (reindex.status(parts, "c").paused, built(parts)) == (True, 1)


def test_a_build_that_waits_for_its_turn_hears_of_another_rate(parts: Parts) -> None:
    with throttled(parts):
        reindex.resume(parts, "c", rate=1000)
    assert built(parts) == 4


def test_a_build_that_waits_for_its_turn_hears_that_it_is_given_up(parts: Parts) -> None:
    with throttled(parts):
        reindex.abort(parts, "c")
    assert reindex.status(parts, "c").coming is None


def test_live_work_does_not_wait_for_the_turn_of_a_build(parts: Parts) -> None:
    with throttled(parts):
        put(parts, {"new": "green"}, index=False)
        until(lambda: parts.catalogue.counts(ME, "c")[State.INDEXED] == 5)
        reindex.abort(parts, "c")
