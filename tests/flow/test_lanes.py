"""Many lanes give what one gives, and what a lane raises is heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import StoreDown
from core.records import State
from core.runtime.wiring import Parts
from ingest.sources.manifest import Inline, Item
from tests.doubles import Flaky
from tests.flow.embedded import comparable, embedded, states, texts
from tests.flow.promises import ME, check, upkeep
from workers.collections import ensure
from workers.intake import register
from workers.lanes import Lanes


def run_lanes(parts: Parts, given: Sequence[Item]) -> Lanes:
    with Lanes(parts) as lanes:
        register(parts, ME, ensure(parts, "c"), given, lanes.submit)
        lanes.drain()
    return lanes


def test_many_lanes_give_what_one_gives(tmp_path: Path) -> None:
    given = [*texts(40), Inline("bad", "poison"), *texts(60, "blue")[40:]]
    one, four = embedded(tmp_path / "one", lanes=1, batch=7), embedded(tmp_path / "four", lanes=4, batch=7)
    tallies = [run_lanes(each, given).tally for each in (one, four)]
    assert [(tally.indexed, tally.failed) for tally in tallies] == [(60, 1)] * 2
    assert comparable(one) == comparable(four)
    check(four)


def test_what_a_lane_raises_is_heard_and_the_rest_is_left_for_the_sweep(parts: Parts) -> None:
    calls = 0

    def before(name: str) -> None:
        nonlocal calls
        calls += name == "upsert"
        if calls == 2:
            raise StoreDown("gone away")

    real = parts.store
    parts.__dict__["store"] = Flaky(real, before)
    with pytest.raises(StoreDown, match="gone away"):
        run_lanes(parts, texts(100))
    parts.__dict__["store"] = real
    upkeep(parts)
    assert set(states(parts).values()) == {State.INDEXED}
    check(parts)


def test_leaving_lanes_by_an_exception_hands_back_what_was_not_begun(parts: Parts) -> None:
    def interrupted() -> None:
        with Lanes(parts) as lanes:
            register(parts, ME, ensure(parts, "c"), texts(64), lanes.submit)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert parts.catalogue.holders() == []
    upkeep(parts)
    check(parts)
    assert set(states(parts).values()) == {State.INDEXED}
