"""`quiver ingest` from outside: every kind of source, and what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.records import State
from ingest.sources import folder
from quiver import Quiver
from quiver.cli.bar import bound_by
from tests.doubles import toy_parts
from tests.httpd import png
from tests.integration.test_cli import Run, call, use_toy
from tests.media import sound
from tests.unit.test_sidecars import VTT
from tests.unit.test_tables import parquet
from tests.unit.test_tars import made

DEADLINE = 60.0  # seconds; a healthy machine needs a few

WATCHING = """
import sys
from core.encoders import registry
from tests.doubles import toy

class Toy:
    def load(self):
        return toy

registry.families = lambda: {"toy": Toy()}
from quiver.cli.app import main
main()
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    monkeypatch.setattr(folder, "SETTLED", 0.0)
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    there = tmp_path / "photos"
    (there / "raw").mkdir(parents=True)
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("raw/blue", (0, 0, 255))):
        (there / f"{name}.png").write_bytes(png(colour))
    (there / "red.txt").write_text("a rocket")
    return there


def there(run: Run) -> list[str]:
    return [one["asset"]["external_id"] for one in run("ls", "-c", "c", "--json").json]


def test_patterns_choose_and_leave_out(run, photos):
    assert run("ingest", photos, "-c", "c", "--glob", "*.png", "--exclude", "raw/").status == 0
    assert there(run) == ["green.png", "red.png"]
    assert run("ingest", photos, "-c", "c", "--glob", "!x").status == 2


def test_sidecars_say_what_a_photo_is_and_are_no_assets(run, photos):
    (photos / "green.json").write_text('{"kind": "leaf"}')
    (photos / "green.vtt").write_text(VTT)
    said = run("ingest", photos, "-c", "c", "-f", "kind=keyword", "--sidecars", "--json")
    assert (said.status, said.json["added"]) == (0, 3)
    assert run("show", "red.png", "-c", "c", "--json").json["asset"]["metadata"] == {"caption": "a rocket"}
    assert run("show", "green.png", "-c", "c", "--json").json["asset"]["metadata"] == {
        "kind": "leaf",
        "caption": "Hello there\nyou & me",
    }
    [hit] = run("search", "green", "-c", "c", "--where", "kind = leaf", "--json").json["hits"]
    assert hit["external_id"] == "green.png"
    (photos / "red.json").write_text("[")
    said = run("ingest", photos, "-c", "c", "--sidecars")
    assert said.status == 1
    assert "failed: 1 BadMetadata" in said.out
    assert re.search(r"red\.png: its sidecar red\.json: not JSON", said.out)
    assert there(run) == ["green.png", "raw/blue.png", "red.png"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_manifest_of_any_form_is_taken_in_and_a_bad_row_costs_one_row(run, photos, form):
    rows = [
        {"path": "red.png", "text": None, "id": "r", "n": 3},
        {"path": None, "text": "a cat", "id": "t", "n": 4},
        {"path": None, "text": None, "id": "x", "n": 5},
    ]
    manifest = photos / f"list.{form}"
    if form == "parquet":
        manifest.write_bytes(parquet(rows))
    elif form == "csv":
        manifest.write_text("path,text,id,n\nred.png,,r,3\n,a cat,t,4\n,,x,5\n,a,y,many\n")
    else:
        manifest.write_text(
            "".join(
                json.dumps({k: v for k, v in row.items() if k != "n" and v} | {"metadata": {"n": row["n"]}}) + "\n"
                for row in rows
            )
        )
    said = run("ingest", manifest, "-c", "c", "-f", "n=integer", "--json")
    assert (said.status, said.json["added"]) == (1, 2)
    assert there(run) == ["r", "t"]
    messages = [problem["message"] for problem in said.json["refused"]]
    number = {"jsonl": "line 3", "csv": "line 4", "parquet": "row 3"}[form]
    assert messages[0].startswith(f'list.{form}, {number}: there must be one of "path", "text" and "url"')
    if form == "csv":
        assert messages[1] == (
            "list.csv, line 5: column 'n': 'many' is no integer (invalid literal for int() with base 10: 'many')"
        )
    [hit] = run("search", "cat", "-c", "c", "--where", "n > 3", "--json").json["hits"]
    assert hit["external_id"] == "t"


def test_a_tar_is_taken_in_and_a_bad_member_costs_one_member(run, tmp_path):
    shard = tmp_path / "shard-000.tar.gz"
    shard.write_bytes(
        made(
            [("1.png", png((255, 0, 0))), ("1.txt", b"a rocket"), ("../2.png", b"x"), ("3.png", png((0, 255, 0)))],
            mode="w:gz",
        )
    )
    said = run("ingest", shard, "-c", "c", "--json")
    assert (said.status, said.json["added"]) == (1, 2)
    assert "shard-000.tar.gz/../2.png: its name leads out" in said.json["refused"][0]["message"]
    assert there(run) == ["shard-000.tar.gz/1.png", "shard-000.tar.gz/3.png"]
    again = run("ingest", shard, "-c", "c", "--json").json
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 2)
    shard.write_bytes(shard.read_bytes()[:-30])
    said = run("ingest", shard, "-c", "c", "--prune")
    assert said.status == 1
    assert "failed: 1 Conflict, 2 CorruptMedia" in said.out or "failed: 1 Conflict, 1 CorruptMedia" in said.out
    assert len(there(run)) == 2


def test_what_vanished_is_named_then_removed(run, photos):
    run("ingest", photos, "-c", "c")
    (photos / "red.txt").unlink()
    said = run("ingest", photos, "-c", "c", "--prune", "--dry-run")
    assert said.status == 0
    assert "c: 1 would be removed" in said.out
    assert "would be removed: red.txt" in said.out
    assert "red.txt" in there(run)
    said = run("ingest", photos, "-c", "c", "--prune")
    assert "3 unchanged, 1 removed" in said.out
    assert there(run) == ["green.png", "raw/blue.png", "red.png"]
    for path in photos.rglob("*.png"):
        path.unlink()
    said = run("ingest", photos, "-c", "c", "--prune")
    assert said.status == 1
    assert "nothing is pruned" in said.out
    assert run("ingest", photos, "-c", "c", "--prune", "--force", "--json").json["pruned"] == [
        "green.png",
        "raw/blue.png",
        "red.png",
    ]


def test_progress_is_lines_of_json_when_asked_for(run, photos):
    said = run("ingest", photos, "-c", "c", "--progress", "json", "--json")
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert said.json["added"] == 4
    assert lines[-1]["done"] == lines[-1]["registered"] == lines[-1]["indexed"] == 4
    assert set(lines[-1]) == {
        "total",
        "registered",
        "to_index",
        "indexed",
        "failed",
        "done",
        "stages",
        "seconds",
        "rate",
        "eta",
    }
    assert {"fetch", "decode", "encode", "upsert", "commit"} <= set(lines[-1]["stages"])
    assert min(lines[-1]["stages"].values()) >= 0
    assert run("ingest", photos, "-c", "c").err == ""


def test_the_bar_says_what_most_of_the_time_goes_to():
    assert bound_by({}) == bound_by({"encode": 0.0}) == ""
    assert bound_by({"decode": 2.0, "encode": 7.0, "commit": 1.0}) == "encode 70%, decode 20%"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere"], "no such file or folder"),
        (["nope://x"], "is not known"),
        (["gs://b/x"], "pip install 'quiver[gcs]'"),
        (["qdrant://h"], "write qdrant://HOST:6333/COLLECTION"),
        (["."], "no pattern"),
        (["s3://b/x", "--watch"], "only folders of this machine"),
        ([".", "--dry-run"], "ask for both"),
        ([".", "--column", "nope=x"], "a column is named as"),
        (["memory://nowhere/x.tar"], "there is nothing"),
    ],
)
def test_what_cannot_be_read_is_told_with_a_status(run, tmp_path, monkeypatch, args, says):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    more = ["--glob", ""] if says == "no pattern" else []
    said = run("ingest", *args, *more, "-c", "c")
    assert said.status in (1, 2, 3)
    assert says in " ".join((said.out + said.err).split())


@contextmanager
def command(data: Path, *args: object) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "QUIVER_PROFILE": "toy", "QUIVER_DATA": str(data), "QUIVER_LANES": "1", "NO_COLOR": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHING, "ingest", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def indexed(data: Path) -> set[str]:
    """As the catalogue says, read beside the process that works."""
    if not (data / "catalogue.db").exists():
        return set()
    parts = toy_parts(data)
    try:
        known = {made.name for made in parts.catalogue.collections()}
        page = parts.catalogue.assets(Quiver(parts)._tenant, "c", limit=1000) if "c" in known else []
        return {asset.external_id for asset, state in page if state is State.INDEXED}
    finally:
        parts.close()


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_watched_folder_is_followed_until_a_signal(tmp_path, photos, how):
    data = tmp_path / "data"
    toy_parts(data).catalogue.close()  # makes the tables, so that no look meets half of them
    with command(data, photos, "-c", "c", "--watch", "--prune") as child:
        until(lambda: len(indexed(data)) == 4)
        (photos / "raw" / "new.txt").write_text("a dog")
        (photos / "red.txt").unlink()
        until(lambda: indexed(data) == {"green.png", "raw/blue.png", "raw/new.txt", "red.png"})
        assert child.stdout is not None
        out = ""
        while "removed: red.txt" not in out:
            out += child.stdout.readline()
        child.send_signal(how)
        _, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == 0, err
    assert "watching: Ctrl-C ends it" in err
    assert "stopped: what is done is kept" in err
    assert "c: 4 added" in out
    assert "removed: red.txt" in out


def test_an_ingest_killed_in_the_middle_goes_on_where_it_stood(tmp_path):
    data, files = tmp_path / "data", tmp_path / "files"
    files.mkdir()
    rows = "".join(f"red cat {at},{at:04}\n" for at in range(900))
    (files / "list.csv").write_text("text,id\n" + rows)
    toy_parts(data).catalogue.close()
    with command(data, files / "list.csv", "-c", "c") as child:
        until(lambda: len(indexed(data)) > 30 or child.poll() is not None)
        assert child.poll() is None
    before = len(indexed(data))
    assert before > 30
    with command(data, files / "list.csv", "-c", "c", "--json") as child:
        out, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == 0, err
    report = json.loads(out)
    assert report["added"] + report["unchanged"] == 900
    assert report["unchanged"] >= min(before, 300)
    parts = toy_parts(data)
    with Quiver(parts) as quiver:
        assert quiver.status("c")[0].counts[State.INDEXED] == 900


def test_what_no_space_embeds_says_which_profile_does_and_that_nothing_was_taken_in(run: Run, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(sound("mp3"))
    ran = run("ingest", tmp_path / "song.mp3", "-c", "fm")
    assert ran.status == 1
    said = " ".join(ran.out.split())
    assert said.startswith("fm: nothing was taken in; 0 indexed")
    assert "failed: 1 NoSpaceFor" in said
    whole = run("ingest", tmp_path / "song.mp3", "-c", "fm", "--json").json["refused"][0]["message"]
    assert whole == (
        "song.mp3: no space of 'fm' embeds audio; clap does: make a collection with --profile toy+clap, or reindex "
        "this one to it, and ingest again"
    )


def test_what_failed_before_is_not_among_what_is_as_it_was(run: Run, tmp_path: Path) -> None:
    for name, text in (("a", "poison"), ("b", "red")):
        (tmp_path / f"{name}.txt").write_text(text)
    places = [tmp_path / "a.txt", tmp_path / "b.txt"]
    run("ingest", *places)
    assert run("ingest", *places).out.startswith("default: nothing changed: 1 assets are as they were;")
    assert run("ingest", places[0]).out.startswith("default: nothing was taken in;")
