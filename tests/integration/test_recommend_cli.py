"""`quiver recommend` from outside; and of both commands that ask, that they take all that the facade does."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quiver import Quiver
from quiver.cli.recommend import recommend
from quiver.cli.search import search
from tests.integration.test_cli import Run, data, run  # noqa: F401  # fixtures

NAMED = {  # otherwise than in Python; history is examples with weights and moments
    "weights": "weight",
    "positives": "like",
    "history": "example",
    "negatives": "less",
    "shares": "share",
}


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Path:  # noqa: F811  # a fixture
    """Texts from red to blue in collection `c`, and a folder for files."""
    files = tmp_path / "files"
    files.mkdir()
    for at in range(6):
        (files / f"r{at}.txt").write_text(" ".join(["red"] * (6 - at) + ["blue"] * at))
    assert run("ingest", files, "--collection", "c").status == 0
    return tmp_path


@pytest.mark.parametrize(("command", "method"), [(search, Quiver.search), (recommend, Quiver.recommend)])
def test_a_command_takes_all_that_the_method_does(command: Callable[..., None], method: Callable[..., Any]) -> None:
    taken = inspect.signature(command).parameters
    wanted = {NAMED.get(name, name) for name in inspect.signature(method).parameters} - {"self"}
    assert wanted <= taken.keys()


def test_weights_fusion_and_exact_are_as_in_python(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    only = ("--weight", "words=0", "--fusion", "rrf", "--exact", "--no-reasons")
    made = run("recommend", "r0.txt", "-c", "c", "-n", 2, *only, "--json")
    assert made.status == 0, made
    assert [item["hit"]["external_id"] for item in made.json["items"]] == ["r1.txt", "r2.txt"]
    assert {match["space"] for item in made.json["items"] for match in item["hit"]["matches"]} == {"colour"}
    assert [item["because"] for item in made.json["items"]] == [None, None]
    for wrong, words in (
        (("--weight", "nope=1"), "no space 'nope'"),
        (("--weight", "words"), "SPACE=NUMBER"),
        (("--fusion", "sum"), "a fusion is one of"),
        (("--budget", "-1"), "budget"),
    ):
        said = run("recommend", "r0.txt", "-c", "c", *wrong)
        assert said.status == 2, said
        assert words in said.err


def test_a_stage_without_time_is_told(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    said = run("recommend", "r0.txt", "-c", "c", "--rerank", "mmr", "--budget", "1e-9")
    assert said.status == 0, said
    assert "not done, for lack of time: mmr" in said.out


def test_options_are_of_all_people_of_a_file(run: Run, filled: Path) -> None:  # noqa: F811  # a fixture
    users, feeds = filled / "u.jsonl", filled / "feeds.jsonl"
    users.write_text("\n".join(json.dumps({"user": name, "positives": ["r0.txt"]}) for name in "ab"))
    done = run("recommend", "--users", users, "--out", feeds, "-c", "c", "-n", 1, "--weight", "words=0", "--exact")
    assert done.status == 0, done
    assert [row["items"][0]["external_id"] for row in map(json.loads, feeds.read_text().splitlines())] == [
        "r1.txt",
        "r1.txt",
    ]
