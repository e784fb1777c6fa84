"""The chain of stages: its allowance of time, its explanations, and stages that will not look at the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from time import perf_counter, sleep
from typing import Any, cast
from uuid import UUID

import pytest

from core.errors import BadQuery, RerankerBroke
from core.types import AssetId
from retrieval import stages
from retrieval.request import Hit
from retrieval.stages import Asked, OutOfTime
from tests.worlds import World


@dataclass(frozen=True)
class Stage:
    """A stage of one function."""

    name: str
    does: Callable[[Sequence[Hit], Asked], Sequence[Hit]]
    depth: int = 0

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
        return self.does(hits, asked)


def turned(hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
    for hit in hits:
        asked.tell(hit, f"was {hit.score:.3f}")
    return [replace(hit, score=float(rank)) for rank, hit in zip(range(len(hits), 0, -1), hits[::-1], strict=True)]


TURN = Stage("turn", turned)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add({f"t{n}": "red " * (n + 1) + "blue" for n in range(6)})
    yield made
    made.parts.close()


def test_stages_run_in_their_order_and_each_says_what_it_did(world: World) -> None:
    plain = world.names("red")
    answer = world.ask("red", stages=(TURN, TURN), explain=True)
    assert [hit.external_id for hit in answer.hits] == plain
    first = answer.hits[0].effects
    assert [(one.stage, one.rank_before, one.rank) for one in first] == [("turn", 1, 6), ("turn", 6, 1)]
    assert first[0].note.startswith("was ")
    assert world.names("red", stages=(TURN,)) == plain[::-1]
    assert all(not hit.effects for hit in world.ask("red", stages=(TURN,)).hits)


def test_a_stage_is_given_as_many_hits_as_it_asks_for(world: World) -> None:
    seen: list[int] = []

    def counted(hits: Sequence[Hit], _: Asked) -> Sequence[Hit]:
        seen.append(len(hits))
        return hits

    world.ask("red", limit=1, stages=(Stage("count", counted, depth=5),))
    assert seen[0] >= 5


@pytest.mark.parametrize("looks", [True, False], ids=["looks at the clock", "does not"])
def test_a_slow_stage_leaves_the_earlier_order_and_holds_nobody_up(world: World, looks: bool) -> None:
    go = Event()

    def slow(hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
        while looks and not go.wait(0.005):
            asked.check()
        go.wait(20)
        return hits[::-1]

    turned_once = world.names("red", stages=(TURN,))
    began = perf_counter()
    answer = world.ask("red", stages=(TURN, Stage("slow", slow), TURN), budget=0.3, explain=True)
    took = perf_counter() - began
    go.set()
    assert [hit.external_id for hit in answer.hits] == turned_once
    assert answer.partial == ("slow", "turn")
    assert took < 1.5
    assert {effect.stage for hit in answer.hits for effect in hit.effects} == {"turn"}


def test_without_a_budget_a_stage_takes_as_long_as_it_takes(world: World) -> None:
    def slow(hits: Sequence[Hit], _: Asked) -> Sequence[Hit]:
        sleep(0.05)
        return hits[::-1]

    answer = world.ask("red", stages=(Stage("slow", slow),))
    assert answer.partial == ()
    assert answer.seconds["rerank slow"] >= 0.05


def test_what_a_stage_raises_within_its_budget_is_raised(world: World) -> None:
    def wrong(hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
        raise BadQuery("no")

    with pytest.raises(BadQuery, match="no"):
        world.ask("red", stages=(Stage("wrong", wrong),), budget=5.0)


def test_stages_that_were_left_behind_do_not_pile_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MOST_LEFT", 2)
    go, begun = Event(), list[int]()

    def stuck(hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
        begun.append(1)
        go.wait(20)
        raise OutOfTime

    for _ in range(5):
        assert world.ask("red", stages=(Stage("stuck", stuck),), budget=0.02).partial == ("stuck",)
    assert len(begun) == 2
    go.set()
    for thread in list(stages._Left.threads):
        thread.join(10)
    assert world.ask("red", stages=(TURN,), budget=5.0).partial == ()


def raising(_: Sequence[Hit], __: Asked) -> Sequence[Hit]:
    raise KeyError("weights")


BROKEN: dict[str, tuple[Callable[[Sequence[Hit], Asked], Any], str]] = {
    "raises": (raising, "KeyError: 'weights'"),
    "nothing": (lambda _hits, _: None, "TypeError: "),
    "scores": (lambda hits, _: [hit.score for hit in hits], "it makes float, which is no hit"),
    "too many": (lambda hits, _: [*hits, hits[0]], "came twice"),
    "invented": (lambda hits, _: [replace(hits[0], asset=AssetId(UUID(int=1)))], "was not among its hits"),
    "nan": (lambda hits, _: [replace(hit, score=float("nan")) for hit in hits], "is nan, which is no finite number"),
    "text": (
        lambda hits, _: [replace(hit, score=cast(float, "high")) for hit in hits],
        "is 'high', which is no finite number",
    ),
    "too few scores": (lambda hits, _: [hit for hit, _ in zip(hits, [0.5], strict=True)], "ValueError: zip"),
}


@pytest.mark.parametrize("budget", [None, 20.0])
@pytest.mark.parametrize("how", BROKEN)
def test_a_stage_that_misbehaves_is_one_fault_that_names_it(world: World, how: str, budget: float | None) -> None:
    does, words = BROKEN[how]
    with pytest.raises(RerankerBroke) as caught:
        world.ask("red", stages=(TURN, Stage("mine", does)), budget=budget)
    assert str(caught.value).startswith("stage 'mine': ")
    assert words in str(caught.value)


def test_a_fault_of_a_stage_stays_what_it_is_and_it_may_drop_hits(world: World) -> None:
    def refuses(_: Sequence[Hit], __: Asked) -> Sequence[Hit]:
        raise BadQuery("not today")

    with pytest.raises(BadQuery, match=r"^not today$"):
        world.ask("red", stages=(Stage("mine", refuses),))
    assert len(world.ask("red", stages=(Stage("some", lambda hits, _: hits[:2]),)).hits) == 2
