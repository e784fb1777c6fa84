"""What a filter means, and which filters are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFilter
from core.fields import FieldType
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
    leaves,
    matches,
    metres_between,
    words,
)
from tests.strategies import FIELDS, filters, metadata

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(filters(), metadata())
def test_a_filter_or_its_negation_holds_and_never_both(where, said):
    assert matches(where, said) is not matches(Not(where), said)


@given(st.lists(filters(), max_size=3), metadata())
def test_and_is_all_or_is_any_and_they_are_dual(parts, said):
    held = [matches(part, said) for part in parts]
    assert matches(And(tuple(parts)), said) is all(held)
    assert matches(Or(tuple(parts)), said) is any(held)
    assert matches(Not(Or(tuple(map(Not, parts)))), said) is all(held)


@given(filters())
def test_generated_filters_are_valid_and_all_of_their_leaves_are_seen(where):
    check(where, FIELDS)
    assert all(leaf.field in FIELDS for leaf in leaves(where))


@given(filters())
def test_without_metadata_no_leaf_holds(where):
    assert not any(matches(leaf, {}) for leaf in leaves(where))


@pytest.mark.parametrize(
    ("where", "held", "not_held"),
    [
        (Eq("f", 1), [1, [2, 1]], [True, 1.0, "1", 2, [], None]),
        (Eq("f", True), [True, [False, True]], [1, "true", False]),
        (Eq("f", "red"), ["red", ["blue", "red"]], ["Red", "red ", "", ["r"]]),
        (In("f", ("a", "b")), ["a", ["x", "b"]], ["c", "", []]),
        (Except("f", ("a", "b")), ["c", ["a", "x"]], ["a", ["a", "b"], [], None]),
        (Except("f", (1,)), [2, [1, 2]], [1, [1], []]),
        (Null("f"), [None], [0, "", False, [], [0]]),
        (Exists("f"), [0, "", False, [0]], [None, []]),
        (Range("f", gt=1, lte=2), [1.5, 2, [0, 2]], [1, 2.5, [0, 3], None]),
        (Range("f", gte=2**53 + 1), [], [2**53 - 1]),
        (Range("f", gte=MOMENT), [MOMENT.isoformat(), "2027-01-01"], ["2026-01-01T12:59:59+01:00"]),
        (Range("f", lt=MOMENT), ["2026-01-01T11:59:59.999999+00:00"], [MOMENT.isoformat()]),
        (GeoBox("f", -1, -1, 1, 1), [{"lat": 1, "lon": -1}], [{"lat": 1.1, "lon": 0}, {"lat": 0, "lon": 1.1}]),
        (GeoRadius("f", 0, 179.9, 30_000), [{"lat": 0, "lon": -179.9}], [{"lat": 0, "lon": 179}]),
        (TextMatch("f", "bird RED"), ["a red, red Bird!"], ["red", "redbird", ""]),
        (TextMatch("f", "鳥"), ["赤い鳥"], ["赤い"]),
    ],
)
def test_a_condition_holds_for_these_values_and_not_for_those(where, held, not_held):
    assert [v for v in held if not matches(where, {"f": v})] == []
    assert [v for v in not_held if matches(where, {"f": v})] == []
    assert not matches(where, {"other": 1})


def test_no_filter_is_always_true():
    assert matches(None, {})
    check(None, {})


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        (Eq("f", 1), FieldType.FLOAT),
        (Eq("f", "x"), FieldType.TEXT),
        (Eq("f", True), FieldType.INTEGER),
        (Eq("f", 1), FieldType.BOOL),
        (Eq("f", 2**53 + 1), FieldType.INTEGER),
        (Eq("f", "\ud800"), FieldType.KEYWORD),
        (In("f", ()), FieldType.KEYWORD),
        (In("f", ("a", 1)), FieldType.KEYWORD),
        (In("f", (1,)), FieldType.BOOL),
        (Except("f", ()), FieldType.KEYWORD),
        (Except("f", (1,)), FieldType.KEYWORD),
        (Range("f"), FieldType.FLOAT),
        (Range("f", gt=float("nan")), FieldType.FLOAT),
        (Range("f", gt=10**400), FieldType.FLOAT),
        (Range("f", gt=1), FieldType.DATETIME),
        (Range("f", gt=MOMENT.replace(tzinfo=None)), FieldType.DATETIME),
        (Range("f", gt=MOMENT), FieldType.FLOAT),
        (Range("f", gt=1), FieldType.KEYWORD),
        (GeoRadius("f", 91, 0, 1), FieldType.GEO),
        (GeoRadius("f", 0, 0, -1), FieldType.GEO),
        (GeoRadius("f", 0, 0, 1), FieldType.FLOAT),
        (GeoBox("f", 1, 0, 0, 1), FieldType.GEO),
        (GeoBox("f", 0, 170, 1, -170), FieldType.GEO),
        (TextMatch("f", "…"), FieldType.TEXT),
        (TextMatch("f", "x"), FieldType.KEYWORD),
    ],
)
def test_a_condition_that_does_not_fit_its_field_is_refused(where, kind):
    nested: Filter = And((Exists("g"), Or((Not(where),))))
    with pytest.raises(BadFilter, match=f"'f' is declared {kind}"):
        check(nested, {"f": kind, "g": FieldType.BOOL})


def test_an_undeclared_field_is_refused_with_the_declared_ones_listed():
    with pytest.raises(BadFilter, match=r"'colour' is not .*: price \(float\), size \(integer\)"):
        check(Exists("colour"), {"size": FieldType.INTEGER, "price": FieldType.FLOAT})
    with pytest.raises(BadFilter, match="none"):
        check(Exists("colour"), {})


@given(st.text())
def test_words_are_distinct_sorted_folded_and_found_again_in_themselves(text):
    found = words(text)
    assert found == sorted(set(found))
    assert all(word and words(word) == [word] for word in found)
    assert words(text.upper().casefold()) == words(text.casefold().upper())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Red red STRASSE straße", ["red", "strasse"]),
        ("snake_case x1, don't", ["case", "don", "snake", "t", "x1"]),
        ("東京tower", ["tower", "京", "東"]),
        ("한국", ["국", "한"]),
        ("…", []),
    ],
)
def test_words_of_a_text(text, found):
    assert words(text) == found


def test_a_degree_of_latitude_is_111_kilometres():
    assert metres_between(0, 0, 1, 0) == pytest.approx(111_195, rel=1e-5)
    assert metres_between(89, 0, 89, 180) == pytest.approx(2 * 111_195, rel=1e-4)


@given(st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
def test_a_moment_compares_the_same_in_every_zone(offset):
    offset = timedelta(minutes=offset // timedelta(minutes=1))
    local = MOMENT.astimezone(timezone(offset))
    assert matches(Range("f", gte=local, lte=local), {"f": MOMENT.isoformat()})
