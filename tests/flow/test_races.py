"""What happens to an asset while a worker is at it. Nothing is left to a sweep here: it must be right at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from core.points import Scope
from core.records import State
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId
from ingest.sources.manifest import Inline
from tests.doubles import Flaky, toy_parts
from tests.flow.promises import ME, check, upkeep
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.removal import remove

SEGMENTS = 5  # windows of the text below


class Race:
    """Parts on which something happens just before a named call of the indexing of asset `a`."""

    def __init__(self, data: Path) -> None:
        self.parts = toy_parts(data)
        self.parts.__dict__["store"] = MemoryStore()
        self.still = toy_parts(data)  # the other side of the race: the same catalogue and store, undisturbed
        self.still.__dict__["store"] = self.parts.store
        self.collection = ensure(self.parts, "c")
        self.id = self.put("red " * 900)  # SEGMENTS windows

    def put(self, text: str) -> AssetId:
        ids: list[AssetId] = []
        register(self.still, ME, self.collection, [Inline("a", text)], lambda _, new: ids.extend(new))
        return ids[0]

    def index_while(self, at: str, happens: Callable[[], object]) -> None:
        done: list[str] = []

        def before(name: str) -> None:
            if name == at and not done:
                done.append(name)
                happens()

        for part in ("catalogue", "store"):
            self.parts.__dict__[part] = Flaky(getattr(self.still, part), before)
        index_batch(self.parts, "c", [self.id])
        assert done == [at], f"indexing never called {at}"

    def found(self) -> int:
        return self.still.store.count(self.still.catalogue.serving("c"), Scope(tenant=ME))

    def settle(self) -> None:
        upkeep(self.still)
        check(self.still)


@pytest.fixture
def race(tmp_path: Path) -> Race:
    return Race(tmp_path)


def taken_out(parts: Parts, asset: AssetId) -> Callable[[], object]:
    return lambda: remove(parts, ME, "c", [asset])


@pytest.mark.parametrize("at", ["create", "upsert", "flush", "sign_all"])
def test_an_asset_removed_while_being_written_is_never_found(race: Race, at: str) -> None:
    race.index_while(at, taken_out(race.still, race.id))
    assert race.found() == 0
    race.settle()


@pytest.mark.parametrize("at", ["create", "upsert", "flush", "sign_all"])
def test_an_asset_replaced_while_being_written_is_found_in_its_newest_generation(race: Race, at: str) -> None:
    race.index_while(at, lambda: race.put("blue"))
    assert race.still.catalogue.state(race.still.catalogue.asset(ME, "c", "a")) is State.PENDING
    race.settle()
    assert race.found() == 1


@pytest.mark.parametrize("at", ["upsert", "flush", "sign_all"])
def test_a_worker_that_slept_through_its_lease_takes_its_points_back(race: Race, at: str) -> None:
    """Meanwhile the asset was replaced, and another worker indexed the newer generation."""

    def overtake() -> None:
        for worker in race.still.catalogue.holders():
            race.still.catalogue.expire(worker)
        race.put("blue")
        index_batch(race.still, "c", [race.id])
        assert race.found() == 1

    race.index_while(at, overtake)
    assert race.found() == 1, "the late writer left segments of the older generation"
    assert race.still.catalogue.state(race.still.catalogue.asset(ME, "c", "a")) is State.INDEXED
    race.settle()


def test_a_worker_whose_lease_was_taken_leaves_the_other_alone(race: Race) -> None:
    def steal() -> None:
        for worker in race.still.catalogue.holders():
            race.still.catalogue.expire(worker)
        claims = race.still.catalogue.claim("c", worker="thief", lease=timedelta(minutes=1), limit=1)
        assert [claim.asset.id for claim in claims] == [race.id]

    race.index_while("sign_all", steal)
    assert race.still.catalogue.holders() == ["thief"]
    race.still.catalogue.expire("thief")
    race.settle()
    assert race.found() == SEGMENTS
