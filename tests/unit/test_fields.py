"""Declared fields and the stored form of their values."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadField, BadMetadata
from core.fields import FieldType, normal_metadata, parse_fields
from tests.strategies import FIELDS, metadata, values

ONE = {str(kind): kind for kind in FieldType}


@given(metadata())
def test_the_stored_form_is_json_and_normalising_it_again_changes_nothing(said):
    assert json.loads(json.dumps(said)) == said
    assert normal_metadata(FIELDS, said) == said


@given(st.sampled_from(list(FieldType)).flatmap(lambda kind: st.tuples(st.just(kind), values(kind))))
def test_a_value_of_the_type_is_kept_as_one_or_as_a_list(pair):
    kind, value = pair
    (held,) = normal_metadata(ONE, {str(kind): value}).values()
    assert isinstance(held, list) is isinstance(value, list)
    assert (held is None) is (value is None)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("keyword", 1),
        ("keyword", ["a", None]),
        ("keyword", "\ud800"),
        ("integer", 1.0),
        ("integer", True),
        ("integer", 2**53 + 1),
        ("float", "1"),
        ("float", math.nan),
        ("float", math.inf),
        ("float", 10**400),
        ("bool", 1),
        ("datetime", "yesterday"),
        ("datetime", 0),
        ("datetime", "0001-01-01T00:00:00+14:00"),
        ("geo", {"lat": 1}),
        ("geo", {"lat": 91, "lon": 0}),
        ("geo", {"lat": 0, "lon": 0, "alt": 1}),
        ("geo", [0, 0]),
        ("text", ["one", "two"]),
        ("text", [[]]),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind, value):
    with pytest.raises(BadMetadata, match=f"'{kind}' is declared {kind}"):
        normal_metadata(ONE, {kind: value})


@pytest.mark.parametrize("value", [object(), b"x", {1: 2}, math.nan, 2**63, [[object()]]])
def test_an_undeclared_value_that_is_not_json_is_refused(value):
    with pytest.raises(BadMetadata, match="x"):
        normal_metadata({}, {"x": value})


@pytest.mark.parametrize("name", ["", "a.b", "1a", "a b", "é", "a" * 64])
def test_a_key_that_no_filter_could_name_is_refused(name):
    with pytest.raises(BadMetadata):
        normal_metadata({}, {name: 1})
    with pytest.raises(BadField):
        parse_fields([f"{name}=keyword"])


def test_undeclared_values_are_kept_as_they_are():
    said = {"x": [1, {"y": None}], "z": -0.5}
    assert normal_metadata({}, said) == said


def test_moments_are_kept_in_utc_to_the_microsecond():
    east = datetime(2026, 1, 1, 2, 0, 0, 1, timezone(timedelta(hours=2)))
    assert normal_metadata(ONE, {"datetime": [east, "2026-01-01"]})["datetime"] == [
        "2026-01-01T00:00:00.000001+00:00",
        "2026-01-01T00:00:00+00:00",
    ]


def test_no_stored_place_lies_on_a_pole_or_on_the_antimeridian():
    (held,) = normal_metadata(ONE, {"geo": {"lat": -90, "lon": 180}}).values()
    assert -90 < held["lat"] < -89.9999999
    assert 179.9999999 < held["lon"] < 180


def test_declarations_are_read_and_the_unreadable_refused():
    assert parse_fields(["kind=keyword", "price=float"]) == {"kind": FieldType.KEYWORD, "price": FieldType.FLOAT}
    for said in ("price", "price=money", "=float", ""):
        with pytest.raises(BadField):
            parse_fields([said])


@pytest.mark.parametrize("metadata", [{"k": "a\0"}, {"t": ["\0"]}, {"undeclared": {"deep": ["a\0b"]}}])
def test_a_nul_character_is_refused_because_postgresql_cannot_keep_it(metadata: dict[str, Any]) -> None:
    with pytest.raises(BadMetadata, match=r"NUL|list|text"):
        normal_metadata({"k": FieldType.KEYWORD, "t": FieldType.TEXT}, metadata)
