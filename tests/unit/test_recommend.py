"""The promises of recommendation, over the reference store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadQuery
from core.filters import Eq
from core.types import Modality, Text
from retrieval.history import Example
from retrieval.recommendation import Fallback, Freshness, Strategy
from retrieval.request import InSpace, Like
from retrieval.seen import seen_keys
from retrieval.supply import best_score
from tests.recommended import NOW, answer, colours, liked, names, opened
from tests.worlds import BLUE, ME, OTHER, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


def test_what_is_near_the_examples_comes_first_and_never_an_example(world: World) -> None:
    colours(world)
    made = answer(world, *liked("r0"), limit=3)
    assert names(made) == ["r1", "r2", "r3"]
    assert names(answer(world, *liked("r0"), limit=3, again=True)) == ["r0", "r1", "r2"]
    assert names(answer(world, *liked(str(world.id_of("r5"))), limit=2)) == ["r4", "r3"]
    assert made.fallback is None
    assert made.items[0].because is not None
    assert (made.items[0].because.example, made.items[0].because.space) == ("r0", "colour")
    assert made.items[0].because.score == pytest.approx(made.hits[0].matches[0].score, abs=1e-6)


def test_what_is_not_liked_pushes_its_neighbours_away(world: World) -> None:
    world.add(
        {"red": "red", "green": "green", "like green": "green green red", "like red": "red red green", "x": "blue"}
    )
    for strategy in Strategy:
        plain = names(answer(world, *liked("green"), strategy=strategy, limit=2))
        assert plain[0] == "like green", strategy
        pushed = names(answer(world, *liked("green"), *liked("red", weight=-3), strategy=strategy, limit=3))
        assert pushed[-1] == "like red", strategy


def test_scores_of_best_are_those_of_the_formula(world: World) -> None:
    world.add({"red": "red", "green": "green", "blue": "blue", "rg": "red red green", "gb": "green blue blue"})
    made = answer(world, *liked("red", "blue"), *liked("green", weight=-1), strategy=Strategy.BEST, again=True, limit=9)
    rows = {
        name: np.array([*(said.count(c) for c in ("red", "green", "blue")), 0.1])
        for name, said in {
            "red": "red",
            "green": "green",
            "blue": "blue",
            "rg": "red red green",
            "gb": "green blue blue",
        }.items()
    }
    rows = {name: row / np.linalg.norm(row) for name, row in rows.items()}
    for hit in made.hits:
        row = rows[hit.external_id]
        wanted = best_score(max(row @ rows["red"], row @ rows["blue"]), float(row @ rows["green"]))
        assert hit.matches[0].score == pytest.approx(wanted, abs=1e-5), hit.external_id
    assert best_score(0.5, None) == pytest.approx(0.5 * (1 + 0.5 / 1.5))
    assert best_score(0.5, 0.6) == pytest.approx(-0.5 * (1 + 0.6 / 1.6))


def test_of_two_interests_best_finds_both_where_the_mean_finds_what_is_between(world: World) -> None:
    world.add({"red": "red", "blue": "blue", "like red": "red " * 9 + "blue", "like blue": "blue " * 9 + "red"})
    world.add({"between": "red blue"})
    assert names(answer(world, *liked("red", "blue"), limit=1)) == ["between"]
    best = names(answer(world, *liked("red", "blue"), strategy=Strategy.BEST, limit=2))
    assert set(best) == {"like red", "like blue"}


def test_weights_and_their_fading_decide_between_examples(world: World) -> None:
    world.add({"red": "red", "blue": "blue", "like red": "red red blue", "like blue": "blue blue red"})
    old = Example(Like("red"), "red", 2.0, NOW - timedelta(days=30))
    new = Example(Like("blue"), "blue", 1.0, NOW)
    assert names(answer(world, old, new, limit=1)) == ["like red"]
    assert names(answer(world, old, new, limit=1, half_life=timedelta(days=7))) == ["like blue"]


def test_texts_and_vectors_are_examples_too(world: World) -> None:
    colours(world)
    world.add({"picture": BLUE})
    words = Example(Text("red red"), "red red")
    vector = Example(InSpace("colour", np.array([0, 0, 1, 0.1], np.float32)), "a vector")
    assert names(answer(world, words, limit=1, modalities=frozenset({Modality.TEXT}))) == ["r0"]
    made = answer(world, vector, limit=1, modalities=frozenset({Modality.IMAGE}))
    assert names(made) == ["picture"]
    assert made.items[0].because is not None
    assert made.items[0].because.example == "a vector"


def test_what_is_unknown_erased_or_pending_is_told_and_left_out(world: World) -> None:
    colours(world)
    world.add({"pending": "red"}, index=False)
    world.add({"theirs": "red"}, tenant=OTHER)
    gone = world.id_of("r5")
    world.parts.catalogue.remove(ME, "c", [gone])
    made = answer(world, *liked("r0", "nobody", str(gone), "r5", "theirs", "pending"), limit=3)
    assert made.unknown == ("nobody", str(gone), "r5", "theirs")
    assert made.pending == ("pending",)
    assert names(made) == ["r1", "r2", "r3"]


def test_who_is_not_known_is_shown_the_newest_in_order_with_filters(world: World) -> None:
    colours(world)
    world.add({"branded": "green"}, metadata={"brand": "a"})
    world.add({"newest": "green"})
    made = answer(world, *liked("nobody"), limit=3)
    assert names(made) == ["newest", "branded", "r5"]
    assert (made.fallback, made.unknown) == ("recent", ("nobody",))
    assert {item.fallback for item in made.items} == {"recent"}
    assert names(answer(world, limit=3)) == ["newest", "branded", "r5"]
    assert names(answer(world, limit=3, where=Eq("brand", "a"))) == ["branded"]
    assert names(answer(world, limit=2, seen=seen_keys(["newest"]))) == ["branded", "r5"]
    assert names(answer(world, *liked("nobody"), fallback=Fallback.of("none"))) == []
    first = answer(world, limit=2)
    assert names(answer(world, limit=2, page=first.page)) == ["r5", "r4"]


def test_a_fallback_goes_down_a_field_and_then_by_age(world: World) -> None:
    for at, price in enumerate([3.0, -1.0, 250.5, 0.0]):
        said = {"price": price, "when": (NOW - timedelta(days=at)).isoformat()}
        world.add({f"p{at}": "green"}, metadata=said)
    world.add({"free": "green"})
    assert names(answer(world, fallback=Fallback.of("popular:price"))) == ["p2", "p0", "p3", "p1", "free"]
    assert names(answer(world, fallback=Fallback.of("popular price"), limit=2)) == ["p2", "p0"]
    assert names(answer(world, fallback=Fallback.of("recent:when"))) == ["p0", "p1", "p2", "p3", "free"]
    for wrong in ("popular", "none:x", "oldest", ""):
        with pytest.raises(BadQuery, match="fallback"):
            Fallback.of(wrong)
    with pytest.raises(BadQuery, match="declared"):
        answer(world, fallback=Fallback.of("popular:votes"))
    with pytest.raises(BadQuery, match="float"):
        answer(world, fallback=Fallback.of("recent:price"))


def test_what_is_fresh_goes_before_what_is_as_near(world: World) -> None:
    for days in (300, 100, 1):
        world.add({f"d{days}": "red"}, metadata={"when": (NOW - timedelta(days=days)).isoformat()})
    world.add({"undated": "red"})
    freshness = Freshness(field="when", half_life=timedelta(days=30), weight=1.0)
    made = answer(world, Example(Text("red"), "red"), freshness=freshness)
    assert names(made) == ["d1", "d100", "d300", "undated"]
    assert [item.freshness for item in made.items] == pytest.approx([0.977, 0.099, 0.001, 0.0], abs=1e-3)
