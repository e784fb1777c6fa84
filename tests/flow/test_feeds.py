"""Feeds of a file of people: whole or not there, and never done twice, wherever a run is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from core.errors import BadQuery, NoSuchPath
from quiver import Quiver
from quiver.cli import recommend as _command  # noqa: F401  # adds the command
from quiver.cli.app import app
from tests.flow.embedded import embedded, ingest, texts
from workers import recommending


class Stopped(BaseException):
    """What a kill is to the code that it stops."""


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    parts = embedded(tmp_path / "data")
    ingest(parts, texts(6))
    yield Quiver(parts)
    parts.close()


def people(path: Path, count: int) -> Path:
    lines = [json.dumps({"user": f"u{at}", "positives": [f"t00{at % 6}"]}) for at in range(count)]
    lines[2] = "{no json"
    lines[4] = json.dumps({"user": "u4", "limit": 0})
    lines[5] = json.dumps({"positives": ["t000"]})
    path.write_text("\n".join(lines))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """Without the tokens of next pages, in which the moment is."""
    if path.suffix == ".parquet":
        said = pq.read_table(path).to_pylist()
    else:
        said = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "page"} for row in said]


@pytest.mark.parametrize("name", ["feeds.jsonl", "feeds.parquet"])
def test_a_run_that_is_stopped_anywhere_goes_on_and_the_file_is_as_if_it_had_not_been(
    quiver: Quiver, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommending, "ROWS", 4)
    users, target, whole = people(tmp_path / "users.jsonl", 23), tmp_path / name, tmp_path / f"whole-{name}"
    done = quiver.recommend_to_file("c", users, whole, limit=2)
    assert (done.users, done.lines, done.total, done.resumed) == (20, 23, 23, 0)
    assert [one.line for one in done.bad] == [3, 5, 6]
    real = recommending._durable  # every durable step is a place to stop at
    stops = 0
    for at in range(1, 40):
        calls = 0

        def stopping(path: Path, write: Any, at: int = at) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                write(path.with_suffix(".part"))  # half of it is there, under another name
                raise Stopped
            real(path, write)

        monkeypatch.setattr(recommending, "_durable", stopping)
        try:
            quiver.recommend_to_file("c", users, target, limit=2)
        except Stopped:
            stops += 1
            assert not target.exists()
        else:
            break
        monkeypatch.setattr(recommending, "_durable", real)
        again = quiver.recommend_to_file("c", users, target, limit=2)
        assert (again.users, [one.line for one in again.bad]) == (20, [3, 5, 6])
        assert again.resumed == max(0, (at - 2) // 2 * 4)
        assert rows(target) == rows(whole)
        target.unlink()
    assert stops >= 12
    assert {path.name for path in tmp_path.iterdir()} == {"data", "users.jsonl", name, whole.name}


def test_another_request_or_source_begins_anew(quiver: Quiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommending, "ROWS", 4)
    users, target = people(tmp_path / "users.jsonl", 11), tmp_path / "feeds.jsonl"

    def stopped(_now: object) -> None:
        raise Stopped

    for limit, resumed in ((2, 0), (3, 0)):
        with pytest.raises(Stopped):
            quiver.recommend_to_file("c", users, target, limit=limit, on_progress=stopped)
        assert resumed == 0
    assert quiver.recommend_to_file("c", users, target, limit=3).resumed == 4
    assert {len(row["items"]) for row in rows(target)} == {3}
    with pytest.raises(Stopped):
        quiver.recommend_to_file("c", users, target, limit=3, on_progress=stopped)
    people(users, 12)
    assert quiver.recommend_to_file("c", users, target, limit=3).resumed == 0


def test_a_wrong_type_costs_its_line_and_is_told_with_its_number(quiver: Quiver, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"modality": 5},
        {"rerank": [5]},
        {"weights": {"concept": "x"}},
        {"shares": {"brand": [1]}},
        {"limit": None},
        {"fallback": None},
        {"where": 5},
        {"history": [["t000", 1, "0001-01-01T00:00:00+14:00"]]},
    ]
    good = {"positives": ["t000"]}
    lines = [json.dumps({"user": f"u{at}", **good, **one}) for at, one in enumerate([*wrong, {}])]
    (tmp_path / "users.jsonl").write_text("\n".join(lines))
    done = quiver.recommend_to_file("c", tmp_path / "users.jsonl", tmp_path / "feeds.jsonl", limit=2)
    assert [row["user"] for row in rows(tmp_path / "feeds.jsonl")] == [f"u{len(wrong)}"]
    assert [one.line for one in done.bad] == list(range(1, len(wrong) + 1))
    assert done.bad[4].message == "limit is None: give a whole number"
    with pytest.raises(BadQuery, match="limit is None"):
        quiver.recommend_to_file("c", tmp_path / "users.jsonl", tmp_path / "feeds.jsonl", limit=None)


def test_what_cannot_be_written_or_read_is_said_before_anything_is_done(quiver: Quiver, tmp_path: Path) -> None:
    users = people(tmp_path / "users.jsonl", 6)
    for target in ("feeds.csv", "nowhere/feeds.jsonl"):
        with pytest.raises(BadQuery):
            quiver.recommend_to_file("c", users, tmp_path / target)
    with pytest.raises(NoSuchPath):
        quiver.recommend_to_file("c", tmp_path / "nobody", tmp_path / "feeds.jsonl")
    (tmp_path / "empty").touch()
    assert quiver.recommend_to_file("c", tmp_path / "empty", tmp_path / "feeds.jsonl").lines == 0
    assert (tmp_path / "feeds.jsonl").read_text() == ""


def test_the_command_writes_feeds_and_shows_reasons(
    quiver: Quiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quiver, "open", lambda _data=None: quiver)
    monkeypatch.setattr(Quiver, "close", lambda _quiver: None)  # what is in memory would be gone with it
    users = people(tmp_path / "users.jsonl", 9)
    said = ["recommend", "--users", str(users), "--out", str(tmp_path / "f.jsonl"), "-c", "c", "-n", "2", "--json"]
    made = CliRunner().invoke(app, said)
    assert made.exit_code == 1, made.output  # three lines are bad
    assert [one["line"] for one in json.loads(made.stdout)["bad"]] == [3, 5, 6]
    one = CliRunner().invoke(app, ["recommend", "t000", "-c", "c", "-n", "2", "--json"])
    assert one.exit_code == 0, one.output
    assert {item["because"]["example"] for item in json.loads(one.stdout)["items"]} == {"t000"}
    shown = CliRunner().invoke(app, ["recommend", "t000", "nobody", "-c", "c", "-n", "2"])
    assert "not there: nobody" in shown.output
    assert "next page" in shown.output
