"""The promises of recommendation, over the reference store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadFilter, BadQuery, NoSpaceFor, Refused
from core.fields import FieldType
from core.filters import Eq
from core.types import AssetId, Modality, Text
from retrieval import supply
from retrieval.calibration import Curves
from retrieval.history import Example
from retrieval.recommend import recommend, recommend_all
from retrieval.recommendation import Fallback, Freshness, Recommendation, RecommendRequest, Strategy
from retrieval.request import InSpace, Like
from retrieval.seen import seen_keys
from retrieval.supply import best_score
from tests import worlds
from tests.worlds import ME, OTHER, World

FIELDS = {
    "brand": FieldType.KEYWORD,
    "price": FieldType.FLOAT,
    "when": FieldType.DATETIME,
    "new": FieldType.BOOL,
}
NOW = datetime.now(UTC)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(worlds, "FIELDS", FIELDS)
    made = World(tmp_path)
    yield made
    made.parts.close()


def liked(*keys: str, weight: float = 1.0) -> tuple[Example, ...]:
    return tuple(Example(Like(key), key, weight) for key in keys)


def request(*examples: Example, **more: Any) -> RecommendRequest:
    """By colours alone, unless it is said otherwise: words are alike all or nothing."""
    said = {"tenant": ME, "collection": "c", "examples": examples, "weights": {"words": 0.0}}
    return RecommendRequest(**{**said, **more})


def answer(world: World, *examples: Example, curves: Curves | None = None, **more: Any) -> Recommendation:
    parts = world.parts
    return recommend(
        request(*examples, **more),
        catalogue=parts.catalogue,
        store=parts.store,
        encoder_of=lambda space: parts.encoders.of_space("toy", space),
        curves_of=lambda _: curves or {},
    )


def names(made: Recommendation) -> list[str]:
    return [hit.external_id for hit in made.hits]


def colours(world: World, count: int = 6) -> None:
    """Texts from red to blue by steps, r0 the reddest."""
    for at in range(count):
        world.add({f"r{at}": " ".join(["red"] * (count - at) + ["blue"] * at)})


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
    world.add({"picture": worlds.BLUE})
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


def test_a_page_holds_no_more_of_a_value_than_its_quota_and_is_full_all_the_same(world: World) -> None:
    for at in range(40):
        world.add({f"a{at:02}": "red"}, metadata={"brand": "a"})
    world.add({"b0": "red blue", "b1": "red blue blue"}, metadata={"brand": "b"})
    world.add({"c0": "blue"}, metadata={"brand": ["c", "b"]})
    world.add({"plain": "blue green"})
    red = Example(Text("red"), "red")
    made = answer(world, red, limit=4, quota={"brand": 2})
    brands = [hit.metadata.get("brand") for hit in made.hits]
    assert brands.count("a") == 2
    assert names(made)[2:] == ["b0", "b1"]
    assert "plain" in names(answer(world, red, limit=5, quota={"brand": 2}))
    few = answer(world, red, limit=10, quota={"brand": 1})
    assert len(few.hits) == 3  # of a, b and what has none: there is no more
    assert few.page is None


def test_a_value_has_its_share_of_a_page_where_there_are_so_many(world: World) -> None:
    for at in range(30):
        world.add({f"a{at:02}": "red"}, metadata={"brand": "a"})
    world.add({"far0": "blue", "far1": "blue green"}, metadata={"brand": "b"})
    red = Example(Text("red"), "red")
    made = answer(world, red, limit=5, shares={"brand": {"b": 0.4}})
    assert {"far0", "far1"} <= set(names(made))
    assert len(made.hits) == 5
    assert len(answer(world, red, limit=5, shares={"brand": {"b": 0.8}}).hits) == 5
    with pytest.raises(BadQuery, match="places"):
        request(shares={"brand": {"a": 0.7, "b": 0.7}})
    with pytest.raises(BadQuery, match="quota"):
        request(shares={"brand": {"a": 0.7}}, quota={"brand": 1})


def test_pages_go_on_where_the_last_ended_whatever_comes_in_between(world: World) -> None:
    colours(world, 12)
    whole = names(answer(world, *liked("r0"), limit=11))
    first = answer(world, *liked("r0"), limit=4)
    world.add({"reddest": "red red red red"})
    gone = world.id_of(names(first)[0])
    world.parts.catalogue.remove(ME, "c", [gone])
    world.store.forget(world.parts.catalogue.serving("c"), {gone: None})
    second = answer(world, *liked("r0"), limit=4, page=first.page, seen=seen_keys(names(first)))
    third = answer(world, *liked("r0"), limit=4, page=second.page)
    assert names(first) + names(second) + names(third) == whole
    assert (len(third.hits), third.page) == (3, None)
    assert names(answer(world, *liked("r0"), limit=1)) == ["reddest"]


def test_a_page_token_that_was_changed_or_is_anothers_is_refused(world: World) -> None:
    colours(world, 12)
    token = answer(world, *liked("r0"), limit=4).page
    assert token is not None
    for other in ({"where": Eq("brand", "a")}, {"strategy": Strategy.SUM}, {"again": True}):
        with pytest.raises(BadQuery, match="another request"):
            answer(world, *liked("r0"), page=token, **other)
    with pytest.raises(BadQuery, match="another request"):
        answer(world, *liked("r1"), page=token)
    with pytest.raises(BadQuery, match="another request"):
        answer(world, *liked("r0"), page=token, tenant=OTHER)
    for at in range(0, len(token), 7):
        wrong = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(BadQuery, match="damaged"):
            answer(world, *liked("r0"), page=wrong)
    for wrong in ("", "x", "ä", token[:-4], token + "AAAA", "A" * 400):
        with pytest.raises(BadQuery, match="damaged"):
            answer(world, *liked("r0"), page=wrong)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_what_was_seen_or_blocked_never_returns_and_the_page_is_full_while_there_is_enough(
    tmp_path_factory: pytest.TempPathFactory, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "FIELDS", FIELDS)
    world = World(tmp_path_factory.mktemp("seen"))
    count = 60
    world.add({f"n{at}": " ".join(["red"] * (at % 7) + ["blue"] * (at % 5) + ["green"]) for at in range(count)})
    index = world.parts.catalogue.serving("c")
    ids = {f"n{at}": world.id_of(f"n{at}") for at in range(count)}
    held = world.store._shelves[index.id].points  # nothing blocks assets but moderation

    @given(
        seen=st.sets(st.integers(0, count - 1)),
        blocked=st.sets(st.integers(0, count - 1), max_size=20),
        examples=st.sets(st.integers(0, count - 1), max_size=4),
        limit=st.integers(1, 70),
        by_id=st.booleans(),
        deep=st.sampled_from([1, 20, 20_000]),  # the rest is compared in full from here on
        clutter=st.integers(0, 3),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check(
        seen: set[int], blocked: set[int], examples: set[int], limit: int, by_id: bool, deep: int, clutter: int
    ) -> None:
        monkeypatch.setattr(supply, "DEEP", deep)
        for point in held.values():
            point.payload["blocked"] = int(point.payload["external_id"][1:]) in blocked  # type: ignore[index]
        keys = [f"unheard of {at}" for at in range(clutter)]
        keys += [str(ids[f"n{at}"]).upper() if by_id else f"n{at}" for at in seen]
        made = answer(
            world, *liked(*(f"n{at}" for at in examples)), strategy=strategy, limit=limit, seen=seen_keys(iter(keys))
        )
        found = [int(name[1:]) for name in names(made)]
        assert len(set(found)) == len(found)
        gone = seen | blocked | examples
        assert not set(found) & gone
        assert len(found) == min(limit, count - len(gone))

    check()
    world.parts.close()


def test_diversity_and_other_stages_apply(world: World) -> None:
    from retrieval.rerank.diversity import mmr

    world.add({"same0": "red", "same1": "red", "same2": "red", "other": "red blue"})
    spaces = [encoder.space for encoder in world.parts.encoders.of_profile("toy")]
    stage = mmr(spaces, {"lambda": 0.3})
    made = answer(world, Example(Text("red"), "red"), limit=2, stages=(stage,))
    assert names(made)[1] == "other"


def test_a_least_relevance_needs_a_calibration_and_is_held_to(world: World) -> None:
    colours(world)
    with pytest.raises(BadQuery, match="calibrat"):
        answer(world, *liked("r0"), min_score=0.5)
    [space] = [one for one in world.parts.catalogue.serving("c").spaces if one.name == "colour"]
    curves: Any = {(space.fingerprint, Modality.TEXT, Modality.TEXT): lambda scores: np.clip(scores - 0.3, 0, 1)}
    for strategy in Strategy:
        made = answer(world, *liked("r0"), min_score=0.4, curves=curves, strategy=strategy)
        assert 0 < len(made.hits) < 5, strategy
        assert all(hit.relevance is not None and hit.relevance >= 0.4 for hit in made.hits)


def test_many_are_answered_at_once_and_one_that_is_wrong_is_its_own_fault(world: World) -> None:
    colours(world)
    parts = world.parts
    asked = [
        request(*liked("r0"), limit=2),
        request(*liked("r0"), where=Eq("votes", 1)),
        request(Example(InSpace("nowhere", np.ones(4, np.float32)), "v")),
        request(*liked("r5"), limit=2, seen=seen_keys(["r4"])),
        request(*liked("r0"), *liked("r0", weight=-1), strategy=Strategy.SUM),
        request(*liked("r0"), modalities=frozenset({Modality.AUDIO})),
    ]
    made = recommend_all(
        asked,
        catalogue=parts.catalogue,
        store=parts.store,
        encoder_of=lambda space: parts.encoders.of_space("toy", space),
    )
    kinds = [type(one) for one in made]
    assert kinds == [Recommendation, BadFilter, BadQuery, Recommendation, BadQuery, NoSpaceFor]
    assert [names(one) for one in made if not isinstance(one, Refused)] == [["r1", "r2"], ["r3", "r2"]]


def test_an_index_that_was_never_filled_recommends_nothing(world: World) -> None:
    world.store.drop(world.parts.catalogue.serving("c").id)
    assert answer(world, *liked("a")).unknown == ("a",)
    assert names(answer(world)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 10_000},
        {"half_life": timedelta(0)},
        {"freshness": Freshness(field="when", half_life=timedelta(days=1), weight=2)},
        {"quota": {"brand": 0}},
        {"shares": {"brand": {"a": 0}}},
        {"min_score": 2},
        {"weights": {"colour": -1}},
        {"examples": (Example(Like("a"), "a", float("nan")),)},
        {"examples": (Example(Text(" "), " "),)},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadQuery):
        request(**wrong)


def test_more_than_a_million_seen_are_refused() -> None:
    many: Iterator[str] = (str(at) for at in range(1_000_001))
    with pytest.raises(BadQuery, match="1,000,000"):
        seen_keys(many)
    wrong: Sequence[Any] = [7]
    with pytest.raises(BadQuery, match="int"):
        seen_keys(wrong)
    assert seen_keys([AssetId(uuid4())])
