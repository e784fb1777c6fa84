"""Time is given to one stage: a part of a stage takes its own from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from core import timing
from core.timing import add, measured, part


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "perf_counter", made)
    return made


def test_a_part_takes_its_time_from_the_stage_around_it_and_from_no_other(clock: Clock) -> None:
    spent: dict[str, float] = {"resize": 100.0}
    with measured("encode", spent):
        clock.now += 1
        with part("load"):
            clock.now += 2
            with part("resize"):
                clock.now += 4
            clock.now += 8
        with part("resize"):
            clock.now += 16
        clock.now += 32
    with measured("upsert", spent):
        clock.now += 64
    assert spent == {"resize": 120.0, "encode": 33.0, "load": 10.0, "upsert": 64.0}
    assert sum(spent.values()) - 100 == clock.now, "no second is counted twice, or lost"


def test_time_counts_though_the_stage_fails_and_the_next_one_is_measured_as_ever(clock: Clock) -> None:
    spent: dict[str, float] = {}

    def fails() -> None:
        with measured("encode", spent), part("resize"):
            clock.now += 2
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fails()
    with measured("encode", spent):
        clock.now += 1
    assert spent == {"encode": 1.0, "resize": 2.0}


def test_what_nobody_measures_is_told_nobody(clock: Clock) -> None:
    with part("resize"):
        clock.now += 2
    spent: dict[str, float] = {}
    with measured("encode", spent):
        clock.now += 1
    assert spent == {"encode": 1.0}


def test_threads_measure_each_for_itself() -> None:
    both = Barrier(2)

    def lane(name: str) -> dict[str, float]:
        spent: dict[str, float] = {}
        with measured(f"encode {name}", spent):
            both.wait(10)
            with part(f"resize {name}"):
                both.wait(10)
            both.wait(10)
        return spent

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lane, "ab"))
    assert [set(one) for one in found] == [{"encode a", "resize a"}, {"encode b", "resize b"}]


def test_seconds_of_two_add_up_stage_by_stage() -> None:
    spent = {"encode": 1.0, "fetch": 2.0}
    add({"encode": 0.5, "decode": 3.0}, spent)
    assert spent == {"encode": 1.5, "fetch": 2.0, "decode": 3.0}
