"""Many lanes give what one gives, and what a lane raises is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest

from core.encoders.registry import Encoders
from core.errors import ModelMismatch, StoreDown
from core.records import Outcome, State
from core.runtime.wiring import Parts
from core.types import AssetId
from ingest.sources.manifest import Inline, Item
from quiver import Quiver
from tests.doubles import ColourEncoder, Flaky, toy
from tests.flow.embedded import comparable, embedded, states, texts
from tests.flow.promises import ME, check, upkeep
from workers import lanes
from workers.collections import ensure
from workers.intake import register
from workers.lanes import Lanes
from workers.service import serve
from workers.tally import Tally


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


class Slow(Lanes):
    """Begins nothing but what it begins with, until all is submitted and cut."""

    def _settle(self, most: int) -> None:
        if most == 0:
            all_is_cut.set()
        super()._settle(most)


all_is_cut = Event()


def test_what_waits_at_last_is_cut_smaller_and_smaller_so_that_lanes_end_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, begun = embedded(tmp_path, lanes=2, batch=32), []

    def index(_parts: Parts, _collection: str, ids: Sequence[AssetId]) -> Tally:
        begun.append(ids)
        assert all_is_cut.wait(60)
        return Tally(indexed=len(ids))

    monkeypatch.setattr(lanes, "index_batch", index)
    all_is_cut.clear()
    given = [AssetId(uuid4()) for _ in range(4 * 32 + 7)]
    with Slow(parts) as slow:
        for at in range(0, len(given), 32):
            slow.submit("c", given[at : at + 32])
    sizes = [len(ids) for ids in begun]
    assert sizes[:2] == [32, 32]
    assert sorted(sizes[2:], reverse=True) == [17, 13, 10, 8, 8, 8, 7]
    assert sorted(one for ids in begun for one in ids) == sorted(given)
    assert slow.tally.indexed == len(given)


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


class Retrained(ColourEncoder):
    """The colours of another model."""

    def __init__(self) -> None:
        super().__init__()
        self.space = replace(self.space, revision="2")


@pytest.fixture
def stalled(parts: Parts) -> Parts:
    """Of which collection `a` waits for a model that is another now."""
    before = Parts(parts.settings, Encoders({"other": lambda _: [ColourEncoder()]}))
    register(before, ME, ensure(before, "a", profile="other"), texts(100), lambda _collection, _ids: None)
    parts.__dict__["encoders"] = Encoders({"toy": toy, "other": lambda _: [Retrained()]})
    return parts


def test_a_collection_of_a_wrong_model_waits_and_no_other_waits_with_it(
    stalled: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_lanes(stalled, texts(40)).tally.indexed == 40
    check(stalled)
    assert stalled.catalogue.counts(ME, "a")[State.PENDING] == 100
    assert stalled.catalogue.holders() == []
    [said] = [record.getMessage() for record in caplog.records if record.name == "workers.stalls"]
    assert said.startswith("collection a: its assets wait until its model is put right: ModelMismatch: the index holds")


def test_a_wrong_model_is_raised_to_whoever_ingests_into_its_collection(stalled: Parts) -> None:
    quiver = Quiver(stalled)
    with pytest.raises(ModelMismatch):
        quiver.add("a", text="red")
    with pytest.raises(ModelMismatch):
        quiver.reconcile("a", repair=True)
    assert stalled.catalogue.counts(ME, "a")[State.PENDING] == 101
    assert quiver.add("c", text="red").outcome is Outcome.ADDED
    assert quiver.sweep().indexed == 0


class Rounds(Event):
    """Is set after so many rounds of a worker."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        return self._left < 0 or super().wait(timeout)


def test_an_embedded_worker_indexes_beside_a_collection_of_a_wrong_model_and_says_so_once(
    stalled: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    register(stalled, ME, ensure(stalled, "c"), texts(20), lambda _collection, _ids: None)
    serve(stalled, Rounds(3), every=0.01)
    check(stalled)
    assert stalled.catalogue.counts(ME, "a")[State.PENDING] == 100
    assert len([record for record in caplog.records if record.name == "workers.stalls"]) == 1
