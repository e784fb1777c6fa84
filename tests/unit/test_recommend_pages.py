"""Pages of recommendations: quotas, shares, tokens, and what never returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadFilter, BadQuery, NoSpaceFor, Refused
from core.filters import Eq
from core.types import AssetId, Modality, Text
from retrieval import supply
from retrieval.calibration import Curve
from retrieval.history import Example
from retrieval.recommend import recommend_all
from retrieval.recommendation import Freshness, Recommendation, Strategy
from retrieval.request import InSpace, Like
from retrieval.rerank.rescoring import Exact
from retrieval.seen import seen_keys
from tests.recommended import answer, colours, liked, names, opened, request
from tests.worlds import ME, OTHER, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


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
    world: World, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            payload: Any = point.payload
            payload["blocked"] = int(payload["external_id"][1:]) in blocked
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


def test_diversity_and_other_stages_apply(world: World) -> None:
    from retrieval.rerank.diversity import mmr

    world.add({"same0": "red", "same1": "red", "same2": "red", "other": "red blue"})
    spaces = [encoder.space for encoder in world.parts.encoders.of_profile("toy")]
    stage = mmr(spaces, {"lambda": 0.3})
    made = answer(world, Example(Text("red"), "red"), limit=2, stages=(stage,))
    assert names(made)[1] == "other"


def test_comparing_candidates_exactly_keeps_their_order(world: World) -> None:
    colours(world)
    for strategy in (Strategy.AVERAGE, Strategy.SUM):
        plain = answer(world, *liked("r0"), strategy=strategy)
        assert names(answer(world, *liked("r0"), strategy=strategy, stages=(Exact(),))) == names(plain)


def test_a_least_relevance_needs_a_calibration_and_is_held_to(world: World) -> None:
    colours(world)
    [space] = [one for one in world.parts.catalogue.serving("c").spaces if one.name == "colour"]
    curves: Any = {(space.fingerprint, Modality.TEXT, Modality.TEXT): Curve(np.array([0.3, 1.3]), np.array([0.0, 1.0]))}
    nothing: Any = {}
    others: Any = {
        (space.fingerprint, Modality.IMAGE, Modality.TEXT): Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    }
    for strategy in Strategy:
        for unfit in (nothing, others):
            with pytest.raises(BadQuery, match="text is to be relevant to text is not known yet here"):
                answer(world, *liked("r0"), min_score=0.5, curves=unfit, strategy=strategy)
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
