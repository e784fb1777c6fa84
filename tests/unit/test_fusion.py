"""Fusion: by ranks, by weighted scores, by their distributions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import dbsf, rrf, weighted

LISTS = st.dictionaries(
    st.text(min_size=1, max_size=3), st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True), max_size=5
)


@given(LISTS)
def test_the_union_of_the_lists_comes_back_and_inputs_are_untouched(lists: dict[str, list[str]]) -> None:
    before = deepcopy(lists)
    fused = [key for key, _ in rrf(lists)]
    assert lists == before
    assert sorted(fused) == sorted({key for ranked in lists.values() for key in ranked})


@given(LISTS, st.randoms())
def test_the_order_of_the_lists_does_not_matter(lists: dict[str, list[str]], random: object) -> None:
    names = list(lists)
    random.shuffle(names)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert rrf({name: lists[name] for name in names}) == rrf(lists)


@given(st.lists(st.text(max_size=3), unique=True))
def test_one_list_keeps_its_order(ranked: list[str]) -> None:
    assert [key for key, _ in rrf({"only": ranked})] == ranked


def test_scores_are_the_formula_of_the_paper() -> None:
    fused = dict(rrf({"a": ["x", "y"], "b": ["y"]}, {"b": 2.0}))
    assert fused == {"x": 1 / 61, "y": 1 / 62 + 2 / 61}


def test_ties_are_broken_by_the_key() -> None:
    assert [key for key, _ in rrf({"1": ["b"], "2": ["a"]})] == ["a", "b"]


KEY = st.text("abcdef", min_size=1, max_size=2)
SCORED = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.lists(st.tuples(KEY, st.floats(0, 1, width=32)), unique_by=lambda item: item[0], max_size=6),
    max_size=5,
)
Lists = dict[str, list[tuple[str, float]]]
Fuse = Callable[..., list[tuple[str, float]]]


def by_rank(lists: Lists, weights: dict[str, float] | None = None, could: object = None) -> list[tuple[str, float]]:
    return rrf({name: [key for key, _ in held] for name, held in lists.items()}, weights)


every = pytest.mark.parametrize("fuse", [by_rank, weighted, dbsf], ids=["rrf", "weighted", "dbsf"])
of_scores = pytest.mark.parametrize("fuse", [weighted, dbsf])


def best_first(lists: Lists) -> Lists:
    return {name: sorted(held, key=lambda item: -item[1]) for name, held in lists.items()}


@every
@given(SCORED, st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 5), max_size=3), st.randoms())
def test_every_fusion_is_pure_whole_and_of_one_order(
    fuse: Fuse, lists: Lists, weights: dict[str, float], random: object
) -> None:
    lists = best_first(lists)
    could = {"a": list(lists), "b": []}
    before = deepcopy((lists, weights, could))
    fused = fuse(lists, weights, could)
    assert (lists, weights, could) == before
    assert sorted(key for key, _ in fused) == sorted({key for held in lists.values() for key, _ in held})
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))
    names = list(lists)
    random.shuffle(names)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert fuse({name: lists[name] for name in names}, weights, could) == fused


@every
@given(SCORED)
def test_what_is_better_in_every_list_is_better(fuse: Fuse, lists: Lists) -> None:
    above = {name: [("best", 2.0), *held] for name, held in best_first(lists).items()}
    if above:
        assert fuse(above, None, {key: list(above) for held in above.values() for key, _ in held})[0][0] == "best"


@of_scores
@given(SCORED, st.floats(0, 1, width=32))
def test_a_list_that_an_asset_has_no_part_of_does_not_count_against_it(fuse: Fuse, lists: Lists, score: float) -> None:
    lists = best_first(lists) | {"mine": [("only", score)]}
    alone = dict(fuse({"mine": [("only", score)]}, None, {"only": ["mine"]}))["only"]
    assert dict(fuse(lists, None, {"only": ["mine"]}))["only"] == alone
    if len(lists) > 1 and alone:
        assert dict(fuse(lists, None, {"only": list(lists)}))["only"] < alone


@given(SCORED)
def test_a_weighted_mean_stays_on_the_scale_of_its_scores(lists: Lists) -> None:
    assert all(0 <= score <= 1 for _, score in weighted(lists, {"a": 2.0}))


@given(SCORED, st.floats(0.5, 100), st.floats(-50, 50))
def test_scales_of_lists_do_not_matter_to_dbsf(lists: Lists, scale: float, shift: float) -> None:
    other = {name: [(key, score * scale + shift) for key, score in held] for name, held in lists.items()}
    flat = any(0 < max(s for _, s in held) - min(s for _, s in held) < 1e-3 for held in lists.values() if held)
    if not flat:  # differences under what floats keep of such a shift
        was = dict(dbsf(lists))
        assert all(abs(score - was[key]) < 1e-6 for key, score in dbsf(other))
