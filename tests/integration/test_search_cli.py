"""`quiver search --queries` from outside: many queries of a file, and what a wrong line costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quiver.asking import IN_A_REQUEST
from tests.integration.test_cli import Run, data, run  # noqa: F401  # fixtures
from tests.photos import photo

GOOD: list[dict[str, Any]] = [
    {"text": "red"},
    {"text": "green", "limit": 1, "id": "q2"},
    {"image": "asked.png", "modality": ["text"]},
]
WRONG: dict[str, tuple[str, str, str]] = {
    "json": ("{text: red}", "BadQuery", "it is not JSON"),
    "object": ("[1]", "BadQuery", "it is no JSON object"),
    "bytes": ('{"text": "\udcff"}', "BadQuery", "it is not UTF-8"),
    "name": ('{"text": "red", "colour": 1}', "BadQuery", "there is no 'colour' in a query"),
    "type": ('{"text": "red", "limit": "5"}', "BadQuery", "limit is '5': give a whole number"),
    "limit": ('{"text": "red", "limit": 0}', "BadQuery", "limit"),
    "filter": ('{"text": "red", "where": "nope = 1"}', "BadFilter", "'nope' is not a declared field"),
    "asset": ('{"like": "nobody"}', "NoSuchAsset", "nobody"),
    "space": ('{"vector": {"space": "nope", "values": [1]}}', "BadQuery", "no space 'nope'"),
    "number": ('{"vector": {"space": "colour", "values": [NaN, 1, 1]}}', "BadQuery", "vector"),
    "file": ('{"image": "nowhere.png"}', "NoSuchPath", "nowhere.png"),
    "mix": ('{"mix": "red"}', "BadQuery", "mix is a list of parts"),
    "nothing": ("{}", "BadQuery", "a query is one of"),
}


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Path:  # noqa: F811  # a fixture
    """A folder beside the data, with a picture to ask by; three texts are in collection `c`."""
    files = tmp_path / "files"
    files.mkdir()
    for name in ("red", "green", "blue"):
        (files / f"{name}.txt").write_text(name)
    (tmp_path / "asked.png").write_bytes(photo("PNG"))
    assert run("ingest", files, "--collection", "c").status == 0
    return tmp_path


def written(folder: Path, *lines: str | dict[str, Any]) -> Path:
    said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    page = folder / "q.jsonl"
    page.write_bytes("\n".join(said).encode("utf-8", "surrogateescape"))
    return page


def rows(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


def test_each_line_is_answered_as_if_it_were_asked_alone(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    page = written(filled, GOOD[0], "", GOOD[1], GOOD[2])
    said = run("search", "--queries", page, "-c", "c", "-n", 2, "--json")
    assert said.status == 0, said
    first, second, third = rows(said.out)
    assert [(one["line"], one["id"]) for one in (first, second, third)] == [(1, None), (3, "q2"), (4, None)]
    alone = run("search", "red", "-c", "c", "-n", 2, "--json").json
    assert first["answer"]["hits"] == alone["hits"]
    assert [hit["external_id"] for hit in second["answer"]["hits"]] == ["green.txt"]
    assert [hit["modality"] for hit in third["answer"]["hits"]] == ["text", "text"]
    shown = run("search", "--queries", page, "-c", "c", "--html", filled / "sheet.html").out
    assert "line 3: q2" in shown
    assert (filled / "sheet.html").read_text().count("<h2>") == 3


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_line_is_named_and_costs_itself(run: Run, filled: Path, wrong: str) -> None:  # noqa: F811  # a fixture
    line, kind, words = WRONG[wrong]
    page = written(filled, GOOD[0], line, GOOD[1])
    said = run("search", "--queries", page, "-c", "c", "--json")
    assert said.status == 1, said
    before, bad, after = rows(said.out)
    assert (bad["line"], bad["answer"], bad["kind"]) == (2, None, kind)
    assert words in bad["message"]
    assert "query 1" not in bad["message"]
    assert before["answer"]["hits"][0]["external_id"] == "red.txt"
    assert after["answer"]["hits"][0]["external_id"] == "green.txt"
    shown = run("search", "--queries", page, "-c", "c")
    assert shown.status == 1
    assert kind in shown.out


def test_what_is_to_be_known_of_an_answer_is_shown(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    said = "does not read its script"
    assert said in run("search", "红", "-c", "c", "--rerank", "cross-encoder").out
    assert said in run("recommend", "--example", '{"text": "红绿蓝红 red"}', "-c", "c", "--rerank", "cross-encoder").out
    assert said in run("search", "红", "-c", "c", "--rerank", "cross-encoder", "--json").json["notes"][0]
    assert run("search", "red", "-c", "c", "--json").json["notes"] == []


def test_more_lines_than_are_asked_at_once_are_all_answered_in_order(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    colours = ["red", "green", "blue"]
    many = 2 * IN_A_REQUEST + 1
    page = written(filled, *({"text": colours[at % 3], "limit": 1} for at in range(many)))
    found = rows(run("search", "--queries", page, "-c", "c", "--json").out)
    names = [hit["external_id"] for one in found for hit in one["answer"]["hits"]]
    assert names == [f"{colours[at % 3]}.txt" for at in range(many)]


def test_what_concerns_the_whole_file_is_refused_at_once(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    page = written(filled, GOOD[0])
    for args, words in (
        (("red", "--queries", page, "-c", "c"), "what is asked is in the file"),
        (("--queries", filled / "none.jsonl", "-c", "c"), "none.jsonl"),
        (("--queries", page, "-c", "nothing"), "nothing"),
    ):
        said = run("search", *args)
        assert (said.status, said.out) == (2, ""), said
        assert words in said.err
