"""Filters as Qdrant's JSON: what they say, that nothing of them is dropped, and where a mistake is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models as m

from core.errors import BadFilter
from core.fields import parse_fields
from core.filters import (
    And,
    Eq,
    Except,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    In,
    Not,
    Null,
    Or,
    Range,
    TextMatch,
    check,
    matches,
)
from retrieval.expression import read_where
from retrieval.filter_json import read, write
from tests.strategies import FIELDS, filters, metadata

DECLARED = parse_fields(
    ["price=float", "brand=keyword", "created=datetime", "at=geo", "body=text", "ok=bool", "n=integer"]
)
JAN = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = Eq("brand", "a"), Eq("brand", "b"), Eq("n", 3)
SAID_A, SAID_B, SAID_C = ({"key": leaf.field, "match": {"value": leaf.value}} for leaf in (A, B, C))


def of(key: str, **condition: Any) -> dict[str, Any]:
    return {"must": [{"key": key, **condition}]}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (of("brand", match={"value": "a"}), A),
        (of("metadata.brand", match={"value": "a"}), A),
        ({"must": SAID_A}, A),
        (of("ok", match={"value": True}), Eq("ok", True)),
        (of("n", match={"any": [1, 2]}), In("n", (1, 2))),
        (of("brand", match={"except": ["a"]}), Except("brand", ("a",))),
        (of("body", match={"text": "two words"}), TextMatch("body", "two words")),
        (of("body", match={"text_any": "two words"}), Or((TextMatch("body", "two"), TextMatch("body", "words")))),
        (of("price", range={"gt": 1, "lte": 2.5, "lt": None}), Range("price", gt=1, lte=2.5)),
        (of("created", range={"gte": "2026-01-01T08:00:00+08:00"}), Range("created", gte=JAN)),
        (of("created", range={"lt": "2026-01-01"}), Range("created", lt=JAN)),
        (of("at", geo_radius={"center": {"lat": 1, "lon": 2}, "radius": 30}), GeoRadius("at", 1, 2, 30)),
        (
            of("at", geo_bounding_box={"top_left": {"lat": 2, "lon": -3}, "bottom_right": {"lat": -2, "lon": 3}}),
            GeoBox("at", -2, -3, 2, 3),
        ),
        (
            of("at", geo_bounding_box={"top_left": {"lat": 2, "lon": 170}, "bottom_right": {"lat": -2, "lon": -170}}),
            Or((GeoBox("at", -2, 170, 2, 180), GeoBox("at", -2, -180, 2, -170))),
        ),
        ({"must": [{"is_empty": {"key": "brand"}}]}, Not(Exists("brand"))),
        ({"must_not": [{"is_empty": {"key": "metadata.brand"}}]}, Exists("brand")),
        (of("brand", is_empty=False), Exists("brand")),
        ({"must": [{"is_null": {"key": "brand"}}]}, Null("brand")),
        (of("brand", is_null=True), Null("brand")),
        (of("n", match={"value": 3}, range={"lt": 5}), And((C, Range("n", lt=5)))),
        ({"must": [SAID_A, SAID_C]}, And((A, C))),
        ({"should": [SAID_A, SAID_C]}, Or((A, C))),
        ({"must_not": [SAID_A, SAID_C]}, And((Not(A), Not(C)))),
        ({"must": [SAID_C], "should": [SAID_A, SAID_B], "must_not": None}, And((C, Or((A, B))))),
        ({"must": [{"should": [SAID_A, {"must_not": [SAID_C]}]}]}, Or((A, Not(C)))),
        ({"should": []}, And(())),
        ({}, And(())),
        (
            {"min_should": {"conditions": [SAID_A, SAID_B, SAID_C], "min_count": 2}},
            Or((And((A, B)), And((A, C)), And((B, C)))),
        ),
        ({"min_should": {"conditions": [SAID_A], "min_count": 2}}, Or(())),
        ({"min_should": {"conditions": [SAID_A], "min_count": 0}}, And(())),
    ],
)
def test_json_says_what_qdrant_says_it_does(said: dict[str, Any], meant: Filter) -> None:
    assert read(said, DECLARED) == meant
    assert read_where(json.dumps(said), DECLARED) == meant


@pytest.mark.parametrize(
    ("said", "at", "why"),
    [
        ({"must": [SAID_A, {"key": "price", "range": {"gt": "x"}}]}, "must[1].range.gt", "is no bound"),
        ({"must": [SAID_A, {"key": "price", "range": {"gt": True}}]}, "must[1].range.gt", "is no bound"),
        (of("price", range={}), "must[0].range", "at least one bound"),
        (of("price", range={"gt": 1, "above": 2}), "must[0].range", "no 'above' here; there is gt, gte"),
        (of("created", range={"lt": "soon"}), "must[0].range.lt", "is no date"),
        (of("created", range={"lt": 5}), "must[0].range.lt", "compare with a datetime"),
        (of("price", match={"value": 3.5}), "must[0].match.value", "no whole number"),
        (of("price", match={"value": 3}), "must[0].match.value", "compare it by a range"),
        (of("brand", match={"value": 3}), "must[0].match.value", "not a keyword"),
        (of("brand", match={"value": None}), "must[0].match.value", "None is not a text, a whole"),
        (of("brand", match={"any": "a"}), "must[0].match.any", "not a list"),
        (of("brand", match={"any": []}), "must[0].match.any", "at least one value"),
        (of("brand", match={"any": ["a", 1]}), "must[0].match.any", "not a keyword"),
        (of("brand", match={"value": "a", "any": ["b"]}), "must[0].match", "write one of"),
        (of("brand", match={"text": "a"}), "must[0].match.text", "only text fields"),
        (of("body", match={"phrase": "a b"}), "must[0].match.phrase", "order of words"),
        (of("body", match={"prefix": "a"}), "must[0].match.prefix", "beginnings of words"),
        (of("body", match={"text": "…"}), "must[0].match.text", "no word"),
        (of("body", match={"text": 1}), "must[0].match.text", "1 is not a text"),
        (of("colour", match={"value": "red"}), "must[0].key", "'colour' is not a declared field; declared: at"),
        (of("metadata.metadata.n", match={"value": 1}), "must[0].key", "not a declared field"),
        ({"must": [{"key": 5, "match": {"value": 1}}]}, "must[0].key", "no name of a field"),
        ({"must": [{"key": "brand"}]}, "must[0]", "nothing is asked of 'brand'"),
        ({"must_not": [{"is_empty": {"key": "colour"}}]}, "must_not[0].is_empty.key", "not a declared field"),
        ({"must": [{"is_null": "brand"}]}, "must[0].is_null", "no object with key"),
        ({"should": [{"has_id": [1]}]}, "should[0].has_id", "like"),
        ({"should": [{"nested": {"key": "a", "filter": {}}}]}, "should[0].nested", "flat"),
        (of("at", geo_polygon={"exterior": {"points": []}}), "must[0].geo_polygon", "no filter has polygons"),
        (of("brand", values_count={"gt": 1}), "must[0].values_count", "no filter counts"),
        (of("at", geo_radius={"center": {"lat": 1}, "radius": 3}), "must[0].geo_radius.center.lon", "no number"),
        (of("at", geo_radius={"center": {"lat": 1, "lon": 1}}), "must[0].geo_radius.radius", "no number"),
        (of("at", geo_radius={"center": {"lat": 91, "lon": 1}, "radius": 1}), "must[0].geo_radius", "lat reaches"),
        (of("brand", geo_radius={"center": {"lat": 1, "lon": 1}, "radius": 1}), "must[0].geo_radius", "no place"),
        (of("brand", is_empty="yes"), "must[0].is_empty", "neither true nor false"),
        ({"must": ["a"]}, "must[0]", "'a' is no condition"),
        ({"must": [{"should": [{"must": 7}]}]}, "must[0].should[0].must", "7 is no condition"),
        ({"filter": {}}, "the filter", "no 'filter' here; there is must, should"),
        ({"must": [{"must": [], "mist": []}]}, "must[0]", "no 'mist' here"),
        ({"min_should": {"conditions": [SAID_A]}}, "min_should", '"min_count": 2'),
        ({"min_should": {"conditions": [{}] * 9 + [3], "min_count": 1}}, "min_should.conditions[9]", "no condition"),
        ({"min_should": {"conditions": [SAID_A] * 40, "min_count": 20}}, "min_should", "too many to choose"),
    ],
)
def test_a_mistake_is_refused_by_its_path_in_the_json(said: dict[str, Any], at: str, why: str) -> None:
    with pytest.raises(BadFilter) as caught:
        read(said, DECLARED)
    assert str(caught.value).startswith(f"{at}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"must": [', "no JSON: Expecting value in line 1, column 11"),
        ('{"must": [], "must": []}', "'must' is said twice"),
        ('{"must": [{"key": "price", "range": {"gt": NaN}}]}', "NaN is no number"),
        ('{"must": [{"key": "price", "range": {"gt": ' + "9" * 5000 + "}}]}", "cannot be read as JSON"),
        ('{"must": [' * 100_000, "cannot be read as JSON"),
    ],
)
def test_text_that_is_not_quite_json_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadFilter, match=why):
        read_where(text, DECLARED)


def test_filters_within_filters_end_somewhere_and_choices_of_choices_do_not_grow_without_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"must": [deep, SAID_A]}
    with pytest.raises(BadFilter, match="nested more than"):
        read(deep, DECLARED)
    wide: dict[str, Any] = SAID_A
    for _ in range(6):
        wide = {"min_should": {"conditions": [wide] * 8, "min_count": 4}}
    with pytest.raises(BadFilter, match="too many to choose"):
        read(wide, DECLARED)


@given(filters(), st.lists(metadata(), max_size=5))
def test_what_is_written_is_read_with_the_same_meaning_and_is_qdrants(
    where: Filter, held: list[dict[str, Any]]
) -> None:
    said = json.loads(json.dumps(write(where)))
    m.Filter.model_validate(said)
    again = read(said, FIELDS)
    check(again, FIELDS)
    assert [matches(again, one) for one in held] == [matches(where, one) for one in held]


@given(filters())
def test_reading_what_was_written_is_stable(where: Filter) -> None:
    once = read(write(where), FIELDS)
    assert read(write(once), FIELDS) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["brand", "n"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "must",
                    "should",
                    "must_not",
                    "min_should",
                    "conditions",
                    "min_count",
                    "key",
                    "match",
                    "value",
                    "any",
                    "range",
                    "gt",
                    "is_empty",
                    "geo_radius",
                    "center",
                    "radius",
                    "lat",
                    "lon",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["must", "should", "must_not", "min_should"]), JSON, max_size=3))
def test_any_json_is_a_filter_or_a_bad_filter(said: dict[str, Any]) -> None:
    try:
        check(read(said, DECLARED), DECLARED)
    except BadFilter:
        return


def test_a_filter_is_read_however_it_is_written() -> None:
    assert read_where(None, DECLARED) is None
    assert read_where("brand = a", DECLARED) == A
    assert read_where(of("brand", match={"value": "a"}), DECLARED) == A
    assert read_where("  " + json.dumps(write(A)), DECLARED) == A
    assert read_where(A, DECLARED) == A
    with pytest.raises(BadFilter, match="not a declared"):
        read_where(Exists("colour"), DECLARED)
    with pytest.raises(BadFilter, match="list is no filter"):
        read_where([A], DECLARED)  # type: ignore[arg-type]  # by a caller who is not type-checked
