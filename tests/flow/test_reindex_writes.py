"""What is written while an index is built, and what the build makes of stores and workers that fail it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.errors import Conflict, UnknownProfile
from core.fields import FieldType
from core.records import IndexState, State
from core.runtime.wiring import Parts
from tests.doubles import Flaky
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import (
    COLOURS,
    SWITCHED,
    check_all,
    names,
    put,
    rebuilt,
    switched,
)
from workers import rebuilding, reindex
from workers.removal import remove
from workers.verify import verify
from workers.wishes import Wish

S = IndexState


@pytest.fixture
def parts(coloured: Parts) -> Parts:
    return coloured


def test_live_writes_go_to_every_index_and_removals_from_every_one(parts: Parts) -> None:
    for state in (S.BUILDING, S.VERIFYING, S.SOAKING):
        match state:
            case S.BUILDING:
                reindex.start(parts, "c", SWITCHED)
                put(parts, COLOURS)
            case S.VERIFYING:
                rebuilding.run(parts, "c")
            case _:
                assert verify(parts, "c").passed
                reindex.switch(parts, "c")
        put(parts, {"new": f"green {state}", "red": f"red {state}"})
        other = next(index for index in parts.catalogue.indexes("c") if index.state is state)
        ids = [parts.catalogue.asset(ME, "c", name).id for name in ("new", "red")]
        assert parts.catalogue.having(other.id, ids) == set(ids), state
        remove(parts, ME, "c", ids[:1])
        assert all(not parts.store.of_assets(index, ids[:1]) for index in parts.catalogue.indexes("c"))
        upkeep(parts)
    check_all(parts)


def test_a_worker_without_the_new_model_still_indexes_for_now(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt(parts)
    monkeypatch.setattr(type(parts.encoders), "of_profile", _without(parts, "turned"))
    put(parts, {"new": "green"})
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 5
    monkeypatch.undo()
    reindex.resume(parts, "c")
    rebuilding.run(parts, "c")
    assert verify(parts, "c").passed


def _without(parts: Parts, profile: str) -> Any:
    real = type(parts.encoders).of_profile

    def of_profile(self: Any, wanted: str) -> Any:
        if wanted == profile:
            raise UnknownProfile(f"there is no profile {wanted!r} on this machine")
        return real(self, wanted)

    return of_profile


def test_what_is_lost_to_the_store_is_seen_and_can_be_given_up(parts: Parts) -> None:
    new = reindex.start(parts, "c", SWITCHED).index
    parts.store.drop(new.id)
    with pytest.raises(Conflict, match="lost index"):
        rebuilding.run(parts, "c")
    reindex.abort(parts, "c")
    assert names(parts, "red")


def test_a_flaky_store_is_a_store(parts: Parts) -> None:
    calls: list[str] = []
    parts.__dict__["store"] = Flaky(parts.store, calls.append)
    switched(parts)
    assert "serve" in calls


def test_what_is_found_by_its_older_points_is_not_lost_and_they_are_not_copied_as_newer_ones(parts: Parts) -> None:
    put(parts, {"red": "poison green"})
    assert parts.catalogue.counts(ME, "c")[State.FAILED] == 1
    assert "red" in names(parts, "red"), "its older points are found until it is put right"
    rebuilt(parts, Wish(fields={"year": FieldType.INTEGER}))
    verdict = verify(parts, "c")
    assert [check.name for check in verdict.checks if not check.passed] == ["coverage"]
    with pytest.raises(Conflict, match="red"):
        reindex.switch(parts, "c")
    new = reindex.coming(parts, "c").index
    assert not parts.store.of_assets(new, [parts.catalogue.asset(ME, "c", "red").id])
    put(parts, {"red": "red again"})
    assert verify(parts, "c").passed
    reindex.switch(parts, "c")
    check_all(parts)


def test_a_switch_waits_for_what_a_worker_has_in_its_hands(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt(parts)
    assert verify(parts, "c").passed
    new = reindex.coming(parts, "c").index
    put(parts, {"late": "green"}, index=False)
    [late] = parts.catalogue.claim("c", worker="w", lease=timedelta(minutes=1), limit=1)
    old = parts.catalogue.serving("c")
    parts.store.create(old)
    assert parts.catalogue.sign_all([(old, {late: 1})]) == [{}], "found, and in a moment by the new one"
    monkeypatch.setattr(reindex, "PATIENCE", 0.0)
    with pytest.raises(Conflict, match=r"late \(not written yet\)"):
        reindex.switch(parts, "c")
    monkeypatch.undo()
    waited: list[float] = []

    def meanwhile(seconds: float) -> None:
        waited.append(seconds)
        parts.catalogue.sign_all([(new, {late: 1})])
        parts.catalogue.finish([late])

    monkeypatch.setattr(reindex, "sleep", meanwhile)
    assert reindex.switch(parts, "c").serving.index.id == new.id
    assert len(waited) == 1
