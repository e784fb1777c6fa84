"""Filters as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFilter
from core.fields import parse_fields
from core.filters import And, Eq, Exists, Filter, GeoBox, GeoRadius, In, Not, Null, Or, Range, TextMatch
from retrieval.expression import parse

FIELDS = parse_fields(
    ["price=float", "brand=keyword", "created=datetime", "at=geo", "body=text", "ok=bool", "n=integer", "order=integer"]
)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("brand = acme", Eq("brand", "acme")),
        ("brand == 'a \"b\" \\'c\\''", Eq("brand", "a \"b\" 'c'")),
        ("brand != 猫", Not(Eq("brand", "猫"))),
        ("ok = TRUE", Eq("ok", True)),
        ("n in [1, -2]", In("n", (1, -2))),
        ("price < 2e1", Range("price", lt=20.0)),
        ("order >= 3", Range("order", gte=3)),
        ("created >= 2026-01-01", Range("created", gte=datetime(2026, 1, 1, tzinfo=UTC))),
        ('created < "2026-01-01T08:00:00+08:00"', Range("created", lt=datetime(2026, 1, 1, tzinfo=UTC))),
        ('body ~ "two words"', TextMatch("body", "two words")),
        ("body ~ dog", TextMatch("body", "dog")),
        ("not body~猫 or body ~ NEAR", Or((Not(TextMatch("body", "猫")), TextMatch("body", "NEAR")))),
        ("body ~ 042 and body ~ true", And((TextMatch("body", "042"), TextMatch("body", "true")))),
        ("body ~ 2026-01-01 and ok = true", And((TextMatch("body", "2026-01-01"), Eq("ok", True)))),
        ("exists(brand)", Exists("brand")),
        ("EXISTS  ( brand )", Exists("brand")),
        ("null(brand)", Null("brand")),
        ("brand = null", Eq("brand", "null")),
        ('brand not in ["a", b]', Not(In("brand", ("a", "b")))),
        ("  brand\n\t =   acme \u00a0", Eq("brand", "acme")),
        ("brand=acme", Eq("brand", "acme")),
        ("not  not ok=true", Not(Not(Eq("ok", True)))),
        ("brand = Müller_9", Eq("brand", "Müller_9")),
        ("near(at, 48.85, 2.35, 1000)", GeoRadius("at", 48.85, 2.35, 1000.0)),
        ("within(at, -1, -2, 3, 4)", GeoBox("at", -1.0, -2.0, 3.0, 4.0)),
        ("ok = true or n = 1 and n = 2", Or((Eq("ok", True), And((Eq("n", 1), Eq("n", 2)))))),
        ("not (ok = true or n = 1)", Not(Or((Eq("ok", True), Eq("n", 1))))),
    ],
)
def test_an_expression_says_what_it_seems_to(said: str, meant: Filter) -> None:
    assert parse(said, FIELDS) == meant


def test_a_mistake_in_one_of_many_lines_is_shown_in_its_line() -> None:
    with pytest.raises(BadFilter) as caught:
        parse("price < 20\n  and brand <\n  and ok = true", FIELDS)
    assert "\n    and ok = true\n        ^\n" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("price < 20 and colour = red", "price < 20 and colour = red\n                 ^"),
        ("brand = 猫 and n = 1.5", "brand = 猫 and n = 1.5\n                 ^"),
        ("ok = true and created > 2026-13-01", "ok = true and created > 2026-13-01\n                ^"),
        (
            " or ".join(["brand = acme"] * 40) + " or größe > 3 and " + " and ".join(["ok = true"] * 40),
            "…" + ("brand = acme or " * 4)[-60:] + "größe > 3 and ok = true",
        ),
    ],
)
def test_what_cannot_be_meant_is_shown_at_its_place(said: str, shown: str) -> None:
    with pytest.raises(BadFilter, match="here:") as caught:
        parse(said, FIELDS)
    assert f"  {shown}" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "column"), [("price <", 7), ("price < 20 brand", 11), ("(ok = true", 10), ("", 0), ("body ~ red dog", 11)]
)
def test_a_syntax_error_points_at_the_place(said: str, column: int) -> None:
    with pytest.raises(BadFilter) as caught:
        parse(said, FIELDS)
    assert f"  {' ' * column}^\n" in str(caught.value)
    assert "for example" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("colour = red", "not a declared field; declared: at .geo., body .text., brand .keyword."),
        ("brand = 3", "3 is not a keyword"),
        ("n = 1.5", "not a integer"),
        ("price = 3", "compare it by a range"),
        ("brand < 3", "have an order"),
        ("created > 2026-13-01", "is no date"),
        ("body = x", "no equality"),
        ("ok in [true]", "only keywords and integers"),
        ("near(at, 91, 0, 1)", "lat reaches"),
        ("within(at, 0, 1, 1, 0)", "antimeridian"),
        ('body ~ "..."', "has no word"),
    ],
)
def test_a_filter_that_cannot_be_meant_says_why(said: str, why: str) -> None:
    with pytest.raises(BadFilter, match=why):
        parse(said, FIELDS)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_bad_filter(said: str) -> None:
    try:
        parse(said, FIELDS)
    except BadFilter:
        return


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_every_string_can_be_quoted(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'brand = "{quoted}"', FIELDS) == Eq("brand", value)
