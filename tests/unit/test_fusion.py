"""Reciprocal rank fusion."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import rrf

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
