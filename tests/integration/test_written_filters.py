"""What docs/filters.md says to write is written: both columns mean the same, every line is run, every error is seen."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadFilter
from core.fields import Fields, parse_fields
from core.filters import And, Eq, Filter, Range, leaves, matches
from quiver import Quiver
from retrieval.expression import read_where
from retrieval.filter_json import read, write
from tests.doubles import toy_parts
from tests.integration.test_cli import call, use_toy
from tests.strategies import metadata

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code of the page in that language."""
    fences: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [code for said, code in fences if said == language]


[CREATE] = blocks("sh")
FIELDS: Fields = parse_fields(re.findall(r"--field (\S+)", CREATE))
ROWS = re.findall(r"^\|[^|]*\| `(.+?)` \| `(\{.+\})` \|$", PAGE, re.MULTILINE)


def meant(expression: str, said: str) -> tuple[Filter, Filter]:
    """Both columns of a row. A condition of a field stands in a list; a row with clauses is a filter."""
    given = json.loads(said)
    clauses = {"must", "should", "must_not", "min_should"}
    left = read_where(expression, FIELDS)
    assert left is not None
    return left, read(given if given.keys() & clauses else {"must": [given]}, FIELDS)


def test_every_row_of_the_table_was_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    assert len(ROWS) == len(lines) > 15


@pytest.mark.parametrize(("expression", "said"), ROWS)
@settings(max_examples=40)
@given(data=st.data())
def test_both_ways_to_write_a_filter_mean_the_same(data: st.DataObject, expression: str, said: str) -> None:
    left, right = meant(expression, said)
    named = {leaf.field: FIELDS[leaf.field] for leaf in leaves(left)}
    held = data.draw(metadata(named))
    assert matches(left, held) is matches(right, held)
    assert matches(read(write(left), FIELDS), held) is matches(left, held)


@pytest.mark.parametrize(
    ("expression", "held"),
    [
        ('brand in [acme, "b"]', {"brand": "acme"}),
        ("price >= 1.5", {"price": 2.0}),
        ("created >= 2026-01-01", {"created": "2026-02-01T00:00:00+00:00"}),
        ('about ~ "red bird"', {"about": "Bird, red"}),
        ("near(place, 48.85, 2.35, 1000)", {"place": {"lat": 48.851, "lon": 2.351}}),
        ("within(place, 48, 2, 49, 3)", {"place": {"lat": 48.5, "lon": 2.5}}),
        ("null(brand)", {"brand": None}),
    ],
)
def test_the_rows_find_what_they_say(expression: str, held: dict[str, Any]) -> None:
    [said] = [said for left, said in ROWS if left == expression]
    assert all(matches(where, held) and not matches(where, {}) for where in meant(expression, said))


def test_what_is_written_is_run_at_every_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    use_toy(monkeypatch, tmp_path / "cli")
    made = call(monkeypatch, capsys, *shlex.split(CREATE.replace("\\\n", ""))[1:])
    assert made.status == 0, made.err
    for where in ("price < 20 and brand = acme", '{"must": [{"key": "price", "range": {"lt": 20}}]}'):
        found = call(monkeypatch, capsys, "search", "a lamp", "-c", "shop", "--where", where, "--json")
        assert found.status == 0, found.err
        assert found.json["hits"] == []
    with Quiver(toy_parts(tmp_path / "data")) as quiver:
        quiver.create("shop", fields=FIELDS)
        quiver.add("shop", text="lamp", id="right", metadata={"price": 3, "brand": "acme"})
        quiver.add("shop", text="lamp", id="wrong", metadata={"price": 30, "brand": "acme"})
        quiver.wait("shop", timeout=20)
        [python] = blocks("python")
        searches = [f"[{line}]" for line in re.split(r"\n(?=quiver\.)", re.sub(r"\s+#.*", "", python).strip())]
        names = {"quiver": quiver, "And": And, "Range": Range, "Eq": Eq}
        answers = [eval(search, names)[0] for search in searches]  # of our own page
    assert [[hit.external_id for hit in answer.hits] for answer in answers] == [["right"]] * 3


def test_the_errors_that_are_shown_are_those_that_come() -> None:
    wrong, told, path = blocks("")
    for said, why in ((wrong.strip(), told), (blocks("json")[0], path)):
        with pytest.raises(BadFilter) as caught:
            read_where(said, FIELDS)
        assert str(caught.value).strip() == why.strip()
