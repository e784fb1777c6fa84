"""Verifying a build while others write: what they do meanwhile is held against nobody."""

from __future__ import annotations

from typing import Any

import pytest

from core.runtime.wiring import Parts
from tests.flow.promises import ME
from tests.flow.reindexed import SWITCHED, put, rebuilt
from workers import rebuilding, reindex
from workers import verify as verifying
from workers.erase import clear_superseded
from workers.rehearsal import sampled as sampled_assets
from workers.removal import clear, remove
from workers.verify import verify


@pytest.fixture
def parts(coloured: Parts) -> Parts:
    return coloured


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_what_is_removed_or_replaced_while_it_is_verified_is_held_against_nobody(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rebuilt(parts)
    real = sampled_assets

    def sampled(*given: Any, **how_many: Any) -> Any:
        chosen = real(*given, **how_many)
        if how == "removed":
            remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "red").id])
        else:
            put(parts, {"red": "green green"})
        clear(parts)
        clear_superseded(parts)  # with its bytes
        return chosen

    monkeypatch.setattr(verifying, "sampled", sampled)
    [said] = [check for check in verify(parts, "c").checks if check.name == "sample"]
    assert said.passed, said.message
    assert "of 3 assets" in said.message


def test_what_is_written_just_now_is_waited_for_by_verifying(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt(parts)
    real, late = parts.store.count, [True]

    def count(*given: Any, **how: Any) -> int:
        return real(*given, **how) + bool(late and late.pop())

    monkeypatch.setattr(parts.store, "count", count)
    monkeypatch.setattr(parts.catalogue, "holders", lambda: ["a worker"])
    assert verify(parts, "c").passed, "a point that is signed for a moment later"
    late.append(True)
    monkeypatch.setattr(parts.catalogue, "holders", list)
    assert [check.name for check in verify(parts, "c").checks if not check.passed] == ["counts"], "nobody is at it"


def test_the_rate_of_a_build_that_has_just_begun_is_not_that_of_a_minute(parts: Parts) -> None:
    reindex.start(parts, "c", SWITCHED)
    rebuilding.run(parts, "c")
    assert reindex.status(parts, "c").rate > 4 / 30
