"""Measures, intervals and significance: what a person works out by hand, and what chance is known to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Modality
from retrieval.evaluate import Case, Target, compared, judged
from retrieval.measures import apart, difference, figure, measured, names

QRELS = {"q": {"a": 3, "wrong": 0, "c": 1, "far": 2}, "none": {"a": 1}}
RUN = {"q": ["wrong", "a", "x", "c"]}  # judged and wrong, then grade 3, not judged, grade 1; `far` is not found


def test_measures_are_what_a_person_works_out() -> None:
    said = measured(QRELS, RUN, (1, 4))
    assert set(said) == set(names((1, 4)))
    gains = 3 / math.log2(3) + 1 / math.log2(5)
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    by_hand = {
        "nDCG@4": gains / ideal,
        "nDCG@1": 0.0,
        "R@1": 0.0,
        "R@4": 2 / 3,
        "P@1": 0.0,
        "P@4": 2 / 4,
        "MRR": 1 / 2,
        "MAP": (1 / 2 + 2 / 4) / 3,
        "Judged@4": 3 / 4,
    }
    assert {name: held["q"] for name, held in said.items()} == pytest.approx(by_hand)
    assert {name: held["none"] for name, held in said.items()} == dict.fromkeys(names((1, 4)), 0.0), "not answered"


def test_the_order_is_that_of_the_run_however_long_and_whatever_the_names() -> None:
    run = {"q": [f"{name:03}" for name in range(999, -1, -1)]}
    for rank, asset in enumerate(run["q"], start=1):
        if rank in (1, 2, 500, 1000):
            assert measured({"q": {asset: 1}}, run, (1,))["MRR"]["q"] == pytest.approx(1 / rank)


def test_nothing_judged_or_nothing_found_is_no_error() -> None:
    assert measured({}, {}, (10,))["MRR"] == {}
    assert measured({"q": {"a": 1}}, {}, (10,))["MRR"] == {"q": 0.0}


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_mean() -> None:
    values = list(np.random.default_rng(1).random(200))
    one, again, other = figure(values, seed=1), figure(values, seed=1), figure(values, seed=2)
    assert one == again != other
    assert one.low < one.mean < one.high
    deviation = float(np.std(values)) / math.sqrt(len(values))
    assert one.high - one.low == pytest.approx(2 * 1.96 * deviation, rel=0.15), "that of the normal distribution"
    alike = figure([0.5] * 10, seed=0)
    assert (alike.mean, alike.low, alike.high) == (0.5, 0.5, 0.5)


def test_a_difference_is_told_from_chance() -> None:
    rng = np.random.default_rng(3)
    here = rng.random(100)
    noise = difference("m", list(here), list(here + rng.normal(0, 0.1, 100)), seed=0)
    real = difference("m", list(here), list(here + rng.normal(0.1, 0.1, 100)), seed=0)
    assert noise.p > 0.05
    assert real.p < 0.001
    assert real.low > 0
    assert real.better + real.worse + real.same == 100
    assert real.difference == pytest.approx(real.there - real.here)


def test_the_test_counts_every_sign_of_a_small_case() -> None:
    """Of four equal differences all are of one sign in 2 of 16 ways."""
    assert difference("m", [0.0] * 4, [0.5] * 4, seed=0).p == pytest.approx(2 / 16, abs=0.02)
    assert difference("m", [0.5] * 4, [0.5] * 4, seed=0).p == 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_difference_and_its_reverse_are_as_likely(pairs: list[tuple[float, float]]) -> None:
    here, there = zip(*pairs, strict=True)
    one, back = difference("m", here, there, seed=0), difference("m", there, here, seed=0)
    assert one.p == back.p
    assert 0 < one.p <= 1
    assert (one.better, one.worse, one.same) == (back.worse, back.better, back.same)


def test_the_gap_between_two_cones_is_seen() -> None:
    asked = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0]], np.float32)
    content = np.array([[0, 0, 1, 0], [0.6, 0, 0.8, 0]], np.float32)
    said = apart(asked, content)
    assert (said.paired, said.unpaired) == pytest.approx(((0 + 0.48) / 2, (0.6 + 0) / 2))
    assert said.distance == pytest.approx(float(np.linalg.norm(asked.mean(0) - content.mean(0))))
    assert apart(asked, asked).distance == 0


CASES = [
    Case(id="en", asked="text", traits={"language": "en", "source": "log"}),
    Case(id="zh", asked="text", traits={"language": "zh", "source": "made"}),
    Case(id="pic", asked="image"),
    Case(id="nothing", asked="text", traits={"language": "en"}),
]
TARGETS = {
    "t": Target(modality=Modality.TEXT, metadata={"kind": "news"}),
    "i": Target(modality=Modality.IMAGE, metadata={"kind": ["photo", "news"]}),
}


def test_slices_are_by_modality_pair_language_trait_and_field() -> None:
    qrels = {"en": {"t": 1, "i": 1}, "zh": {"i": 1}, "pic": {"t": 2}, "nothing": {"t": 0}}
    run = {"en": ["t", "x", "i"], "zh": ["t"], "pic": ["t"]}
    said = judged(CASES, qrels, TARGETS, run, at=(1, 10), by=["source", "kind"])
    assert said.figures["R@1"].mean == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert set(said.per_query) == {"en", "zh", "pic"}, "what nothing is relevant to is in no figure"
    found = {
        (s.by, s.value): (s.queries, round(s.figures["R@10"].mean, 3), round(s.figures["MRR"].mean, 3))
        for s in said.slices
    }
    assert found == {
        ("modality", "text → text"): (1, 1.0, 1.0),
        ("modality", "text → image"): (2, 0.5, round((1 / 3 + 0) / 2, 3)),  # what stands above it counts
        ("modality", "image → text"): (1, 1.0, 1.0),
        ("language", "en"): (1, 1.0, 1.0),
        ("language", "zh"): (1, 0.0, 0.0),
        ("language", "(none)"): (1, 1.0, 1.0),
        ("source", "log"): (1, 1.0, 1.0),
        ("source", "made"): (1, 0.0, 0.0),
        ("source", "(none)"): (1, 1.0, 1.0),
        ("kind", "news"): (3, round((1 + 0 + 1) / 3, 3), round((1 + 0 + 1) / 3, 3)),
        ("kind", "photo"): (2, 0.5, round((1 / 3 + 0) / 2, 3)),
    }


def test_two_rankings_are_compared_over_the_queries_of_both() -> None:
    qrels = {"en": {"t": 1}, "zh": {"i": 1}}
    here = judged(CASES, qrels, TARGETS, {"en": ["x", "t"], "zh": ["i"]}, at=(1,))
    there = judged(CASES, qrels, TARGETS, {"en": ["t"], "zh": ["i"]}, at=(1,))
    said = {one.measure: one for one in compared(here.per_query, there.per_query, seed=0)}
    assert (said["MRR"].here, said["MRR"].there, said["MRR"].better, said["MRR"].same) == (0.75, 1.0, 1, 1)
    assert "Judged@1" not in said
    assert compared({}, there.per_query, seed=0) == ()
