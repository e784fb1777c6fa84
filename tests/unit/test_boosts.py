"""Recency and boosts, and the one order that every stage leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadQuery
from core.fields import FieldType
from core.types import AssetId, Digest, Modality
from retrieval.request import Hit
from retrieval.rerank.decay import SHAPES, boost, recency
from retrieval.rerank.order import blended, ordered, parted
from retrieval.stages import Asked

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIELDS = {"created": FieldType.DATETIME, "price": FieldType.FLOAT, "likes": FieldType.INTEGER}
FIELDS |= {"kind": FieldType.KEYWORD, "fresh": FieldType.BOOL, "note": FieldType.TEXT}


def hit(at: int, score: float = 1.0, **metadata: Any) -> Hit:
    return Hit(
        asset=AssetId(UUID(int=at + 1)),
        external_id=f"h{at}",
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest("0" * 64),
        metadata=metadata,
        score=score,
        matches=(),
    )


class Asks(Asked):
    """A query that a pure stage does not look at."""

    def __init__(self) -> None:
        object.__setattr__(self, "notes", {})
        object.__setattr__(self, "deadline", None)


def names(hits: Sequence[Hit]) -> list[str]:
    return [one.external_id for one in hits]


def now() -> float:
    return NOW.timestamp()


# One order


SCORES = st.lists(st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12)


@given(SCORES, st.integers(1, 12), st.floats(0, 1), st.randoms())
def test_a_blend_is_a_total_order_over_the_same_hits_and_the_rest_stay_behind(
    scores: list[float], depth: int, weight: float, random: Any
) -> None:
    hits = [hit(at, score) for at, score in enumerate(sorted(scores, reverse=True))]
    head, tail = parted(hits, depth)
    made = {one.asset: random.random() for one in head if random.random() < 0.8}
    after = ordered(head, blended(head, made, weight), tail)
    assert sorted(names(after)) == sorted(names(hits))
    assert all(one.score >= other.score for one, other in pairwise(after))
    assert names(after[len(head) :]) == names(tail)
    if weight == 0:
        assert names(after) == names(hits)


def test_a_hit_that_a_stage_says_nothing_of_keeps_its_score() -> None:
    head = [hit(0, 0.9), hit(1, 0.5), hit(2, 0.1)]
    made = blended(head, {head[0].asset: 1.0, head[2].asset: 3.0}, 0.5)
    assert made == pytest.approx({head[0].asset: 0.5, head[1].asset: 0.5, head[2].asset: 0.5})


# Recency and boosts


@given(st.lists(st.integers(-50, 4000), min_size=2, max_size=10), st.sampled_from(sorted(SHAPES)), st.floats(0, 1))
def test_of_equal_hits_the_newer_is_never_behind(ages: list[int], shape: str, weight: float) -> None:
    hits = [hit(at, created=(NOW - timedelta(days=age)).isoformat()) for at, age in enumerate(ages)]
    stage = recency(FIELDS, {"field": "created", "half_life": "30d", "shape": shape, "weight": weight}, now=now)
    after = stage.rerank(hits, Asks())
    age_of = dict(zip(names(hits), ages, strict=True))
    for one, other in pairwise(after):
        assert max(0, age_of[one.external_id]) <= max(0, age_of[other.external_id]) or one.score == other.score


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_half_is_left_at_the_half_life_whatever_the_shape(shape: str) -> None:
    asked = Asks()
    stage = recency(FIELDS, {"field": "created", "half_life": "7d", "shape": shape}, now=now)
    old, new, later = (hit(at, 0.8, created=(NOW - timedelta(days=d)).isoformat()) for at, d in enumerate((7, 0, -9)))
    after = stage.rerank([old, new, later], asked)
    assert {one.external_id: one.score for one in after} == pytest.approx({"h0": 0.4, "h1": 0.8, "h2": 0.8})
    assert asked.notes[old.asset] == "half_life 7d, 7d old: x0.5"


def test_the_shapes_are_elasticsearchs() -> None:
    """Its reference: at `scale` from the origin `decay` is left; exp and gauss never reach 0, linear does."""
    for shape in SHAPES.values():
        assert shape(0.0, 10.0, 0.3) == 1.0
        assert shape(10.0, 10.0, 0.3) == pytest.approx(0.3)
    assert SHAPES["gaussian"](5.0, 10.0, 0.5) == pytest.approx(math.exp(math.log(0.5) / 4))
    assert SHAPES["exponential"](20.0, 10.0, 0.5) == pytest.approx(0.25)
    assert SHAPES["linear"](20.0, 10.0, 0.5) == 0.0
    assert SHAPES["gaussian"](1e300, 1e-9, 0.5) == SHAPES["linear"](math.inf, 1.0, 0.5) == 0.0


def test_a_hit_without_the_field_keeps_its_score_unless_it_is_said_otherwise() -> None:
    hits = [hit(0, 0.9), hit(1, 0.8, created=NOW.isoformat()), hit(2, 0.7, created=[])]
    said = {"field": "created", "half_life": "1d"}
    assert names(recency(FIELDS, said, now=now).rerank(hits, Asks())) == ["h0", "h1", "h2"]
    asked = Asks()
    assert names(recency(FIELDS, {**said, "missing": "0.1"}, now=now).rerank(hits, asked)) == ["h1", "h0", "h2"]
    assert asked.notes[hits[0].asset] == "no created: x0.1"


BOOSTS: list[tuple[dict[str, Any], list[float]]] = [
    ({"field": "price", "origin": "20", "scale": 10, "shape": "linear"}, [0.5, 1.0, 0.0]),
    ({"field": "price", "origin": 20, "scale": 10, "offset": 10}, [1.0, 1.0, 0.5**8]),
    ({"field": "likes", "factor": "2"}, [0.0, 8.0, 2.0]),
    ({"field": "likes", "modifier": "log1p"}, [0.0, math.log(5), math.log(2)]),
    ({"field": "likes", "modifier": "sqrt", "weight": 0.5}, [0.5, 1.5, 1.0]),
    ({"field": "kind", "value": "b", "factor": 3}, [1.0, 3.0, 3.0]),
    ({"field": "fresh", "value": "true"}, [2.0, 1.0, 1.0]),
    ({"field": "likes", "value": "4", "factor": 0.5}, [1.0, 0.5, 1.0]),
    ({"field": "created", "origin": "2026-06-01", "scale": "10d"}, [0.5, 1.0, 1.0]),
    ({"field": "created", "origin": "now", "scale": "1d", "offset": "9d"}, [0.5, 1.0, 1.0]),
]


@pytest.mark.parametrize(("said", "want"), BOOSTS, ids=[str(said) for said, _ in BOOSTS])
def test_a_boost_is_the_score_times_what_the_field_is_worth(said: dict[str, Any], want: list[float]) -> None:
    hits = [
        hit(0, price=10.0, likes=0, kind="a", fresh=True, created=(NOW - timedelta(days=10)).isoformat()),
        hit(1, price=20.0, likes=4, kind="b", fresh=False, created=NOW.isoformat()),
        hit(2, price=[110.0, 250.0], likes=[1, 0], kind=["a", "b"]),
    ]
    after = boost(FIELDS, said, now=now).rerank(hits, Asks())
    assert {one.external_id: one.score for one in after} == pytest.approx(dict(zip(names(hits), want, strict=True)))


def test_scores_below_zero_are_boosted_as_others_are() -> None:
    hits = [hit(0, -0.1, likes=1), hit(1, -0.2, likes=3), hit(2, -0.9, likes=9)]
    assert names(boost(FIELDS, {"field": "likes"}, now=now).rerank(hits, Asks())) == ["h1", "h0", "h2"]


def test_a_half_life_is_a_duration_and_the_moment_one() -> None:
    for said, want in (("x", "a duration"), ("0", "a duration"), ("-1d", "a duration"), (None, "say the half_life")):
        with pytest.raises(BadQuery, match=want):
            recency(FIELDS, {"field": "created", "half_life": said}, now=now)
    with pytest.raises(BadQuery, match="now, or a moment"):
        boost(FIELDS, {"field": "created", "origin": "yesterday", "scale": "1d"}, now=now)
    with pytest.raises(BadQuery, match="true or false"):
        boost(FIELDS, {"field": "fresh", "value": "maybe"}, now=now)
    with pytest.raises(BadQuery, match="a value of a integer field"):
        boost(FIELDS, {"field": "likes", "value": "x"}, now=now)
