"""Batches of texts under a budget of tokens, and the figures that are taken of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fidelity import Way, figures, kept
from benchmarks.prose import prose
from benchmarks.texts import padded
from core.encoders.batches import by_tokens

LENGTHS = st.lists(st.integers(1, 600), max_size=80)


@given(lengths=LENGTHS, budget=st.integers(1, 2048))
def test_every_text_is_in_one_batch_and_no_batch_is_larger_than_it_must_be(lengths: list[int], budget: int) -> None:
    batches = list(by_tokens(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > budget, "it would have fitted"


@given(lengths=LENGTHS)
def test_texts_of_like_length_are_together(lengths: list[int]) -> None:
    order = [lengths[row] for batch in by_tokens(lengths) for row in batch]
    assert order == sorted(lengths)


def test_padding_is_counted() -> None:
    assert padded([3, 5, 1], [[0, 1], [2]]) == 2 * 5 + 1
    assert padded([3, 5, 1], by_tokens([3, 5, 1], 8)) == 2 * 3 + 5


def test_prose_is_the_same_every_time_and_of_many_lengths() -> None:
    one = prose(50)
    assert one == prose(50)
    sizes = [len(text.split()) for text in one]
    assert min(sizes) < 20
    assert max(sizes) > 80


def test_neighbours_that_stay_are_counted() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    assert kept(rows, 3 * rows) == 1
    assert kept(rows, np.roll(rows, 1, axis=0)) < 0.6
    said = figures(Way("model", True, "way", rows + 9, rows + 9))
    assert said["cos_min"] == pytest.approx(1, abs=1e-5)
    assert figures(Way("model", True, "way", rows + 99, 99 - rows))["cos_without_mean"] < 0
