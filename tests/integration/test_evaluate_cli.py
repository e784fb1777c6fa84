"""`quiver evaluate` and `quiver feedback` from outside: what they print and write, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_cli import Run, data, run  # noqa: F401  # fixtures

MARKED = "recorded as "


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("red cat", "green dog", "blue rocket"):
        (folder / f"{name}.txt").write_text(name)
    return folder


def test_what_was_said_of_answers_is_written_and_evaluated(run: Run, files: Path, tmp_path: Path) -> None:  # noqa: F811  # a fixture
    assert run("ingest", files, "--collection", "c").status == 0
    assert MARKED not in run("search", "red", "-c", "c").out
    shown = run("search", "red", "-c", "c", "--record").out
    query = shown.partition(MARKED)[2].split()[0]
    assert run("search", "red", "-c", "c", "--record", "--json").json["query"] not in (None, query)
    assert run("feedback", query, "red cat.txt", 2, "-c", "c").status == 0
    assert run("feedback", query, "green dog.txt", "0", "-c", "c", "--json").json["grade"] == 0
    qrels, queries, page, hits = (tmp_path / name for name in ("r.tsv", "q.jsonl", "page.html", "run.txt"))
    done = run("feedback", "--export", qrels, "--queries", queries, "-c", "c")
    assert done.status == 0
    assert qrels.read_text() == f"{query}\t0\tgreen dog.txt\t0\n{query}\t0\tred cat.txt\t2\n"
    assert json.loads(queries.read_text()) == {"id": query, "text": "red"}
    said = run("evaluate", "c", "--queries", queries, "--qrels", qrels, "--html", page, "--run", hits, "--json")
    assert said.status == 0, said.err
    assert said.json["figures"]["nDCG@10"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert said.json["ok"] is True
    assert "run" not in said.json
    assert page.read_text().startswith("<!doctype html>")
    assert hits.read_text().splitlines()[0] == f"{query}\tQ0\tred cat.txt\t1\t3\tquiver-c"
    shown = run("evaluate", "c", "--queries", queries, "--qrels", qrels, "--against-settings", '{"fusion": "dbsf"}').out
    for words in ("nDCG@10", "text → text", "against exact search", "modality gap", "better/worse/same"):
        assert words in shown


def test_what_could_not_be_used_is_listed_and_ends_with_one(run: Run, files: Path, tmp_path: Path) -> None:  # noqa: F811  # a fixture
    run("ingest", files, "--collection", "c")
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("red\tred cat.txt\ngreen\tnobody\nno tab\n")
    said = run("evaluate", "c", "--pairs", pairs)
    assert said.status == 1
    for words in ("pairs.tsv line 3", "1 judged assets are not there", "nobody"):
        assert words in said.out


def test_what_makes_no_sense_is_refused(run: Run, files: Path, tmp_path: Path) -> None:  # noqa: F811  # a fixture
    run("ingest", files, "--collection", "c")
    for wrong in (
        ("evaluate", "c"),
        ("evaluate", "c", "--pairs", tmp_path / "nowhere"),
        ("evaluate", "c", "--pairs", files / "red cat.txt"),
        ("evaluate", "c", "--pairs", files / "red cat.txt", "--settings", "{"),
        ("evaluate", "c", "--pairs", files / "red cat.txt", "--html", tmp_path),
        ("feedback", "one"),
        ("feedback", "one", "two", "--export", tmp_path / "r", "--queries", tmp_path / "q", "-c", "c"),
        ("feedback", "--export", tmp_path / "r", "-c", "c"),
        ("feedback", "no-id", "red cat.txt", "-c", "c"),
    ):
        said = run(*wrong)
        assert (said.status, said.out) == (2, ""), wrong
        assert said.err.strip(), wrong
