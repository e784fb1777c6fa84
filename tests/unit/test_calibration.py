"""Scores to probabilities: monotone whatever was seen, and of one meaning for every space."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.types import Modality
from retrieval.calibration import KNOTS, Curve, expected
from retrieval.hits import relevances
from retrieval.isotonic import judged

SCORE = st.floats(-1, 1, width=32)
TOPS = st.lists(st.lists(SCORE, max_size=8), min_size=1, max_size=8)
JUDGED = st.lists(st.tuples(SCORE, st.booleans()), min_size=1, max_size=40)


def check_curve(curve: Curve) -> None:
    assert 1 <= len(curve.x) == len(curve.y) <= KNOTS + 2
    assert np.all(np.diff(curve.x) > 0)
    grid = curve(np.linspace(-2, 2, 201))
    assert np.all(np.diff(grid) >= 0)
    assert grid[0] >= 0
    assert grid[-1] <= 1


@given(TOPS)
def test_a_better_score_is_never_less_likely(tops: list[list[float]]) -> None:
    curve = expected(tops)
    if curve is None:
        assert not any(tops)
    else:
        check_curve(curve)


@given(JUDGED)
def test_a_better_score_is_never_less_likely_by_judgements(pairs: list[tuple[float, bool]]) -> None:
    check_curve(judged([score for score, _ in pairs], [right for _, right in pairs]))


@given(TOPS.filter(any))
def test_a_curve_is_kept_as_json(tops: list[list[float]]) -> None:
    curve = expected(tops)
    assert curve is not None
    again = Curve.from_dict(json.loads(json.dumps(curve.as_dict())))
    apart = np.diff(curve.x)
    if apart.size and apart.min() < 1e-5:  # places so near to each other are one when they are kept
        return
    steepest = max(np.diff(curve.y) / apart, default=0.0)
    assert np.allclose(again(curve.x), curve.y, atol=1e-6 * (1 + steepest))  # both are kept to the sixth place


def test_a_score_that_one_wrong_asset_reaches_is_as_likely_right_as_wrong() -> None:
    tops = [[0.9 - 0.1 * n for n in range(8)] for _ in range(100)]  # each question finds one wrong asset at 0.9
    curve = expected(tops)
    assert curve is not None
    assert abs(curve(np.array([0.9]))[0] - 0.5) < 0.01
    assert abs(curve(np.array([0.6]))[0] - 0.2) < 0.01  # and four at 0.6


def test_the_best_of_many_random_assets_is_no_answer_in_any_space() -> None:
    rng = np.random.default_rng(5)

    def tops(questions: int, scale: float, shift: float) -> list[list[float]]:
        scores = rng.normal(size=(questions, 4000)) * scale + shift
        return np.sort(scores)[:, :-33:-1].tolist()  # type: ignore[no-any-return]  # numpy's stub says Any

    for scale, shift in ((0.1, 0.0), (0.02, 0.8), (3.0, -7.0)):
        curve = expected(tops(300, scale, shift))
        assert curve is not None
        best = np.array([one[0] for one in tops(300, scale, shift)])
        likely = curve(best)
        assert np.mean(likely >= 0.5) < 0.7  # the best of each: one above it is what E = 1 means
        assert np.mean(likely >= 0.9) < 0.15
        assert curve(np.array([shift + 6 * scale]))[0] > 0.95  # what no random asset reaches


def test_what_lies_beyond_all_that_was_found_is_likely_however_many_tied_below() -> None:
    curve = expected([[0.1, 0.1, 0.1]] * 50)
    assert curve is not None
    assert curve(np.array([0.1]))[0] < 0.3
    assert curve(np.array([0.9]))[0] > 0.95


def test_nothing_found_is_nothing_known() -> None:
    assert expected([]) is None
    assert expected([[], []]) is None


def test_judgements_are_followed_and_never_made_certain() -> None:
    scores = [*np.linspace(0.0, 0.4, 50), *np.linspace(0.6, 1.0, 50)]
    curve = judged(scores, [False] * 50 + [True] * 50)
    low, high = curve(np.array([0.2, 0.8]))
    assert 0 < low < 0.1
    assert 0.9 < high < 1


TEXT, IMAGE = Modality.TEXT, Modality.IMAGE


def test_an_asset_is_as_likely_as_its_likeliest_part() -> None:
    known = {TEXT: {"t": [("a", 0.9), ("b", 0.2)]}, IMAGE: {"i": [("a", 0.1), ("c", 0.6)], "j": [("c", 0.2)]}}
    weights = {"t": 1.0, "i": 1.0, "j": 3.0}
    assert relevances(known, weights) == {"a": 0.9, "b": 0.2, "c": 0.25 * 0.6 + 0.75 * 0.2}
    assert relevances({}, {}) == {}
