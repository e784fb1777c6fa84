"""The command line from outside: what it prints, what it writes, how it ends."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import PIL.Image
import pytest

from core.encoders import registry
from quiver import Quiver
from quiver.cli import render
from quiver.cli.app import main
from tests.doubles import toy


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


class Toy:
    """Stands for the entry point of the family `toy`."""

    def load(self) -> Any:
        return toy


def use_toy(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """The profile `toy` and a data folder of the test's own, for commands run in this process."""
    monkeypatch.setattr(registry, "families", lambda: {"toy": Toy()})
    monkeypatch.setenv("QUIVER_PROFILE", "toy")
    monkeypatch.setenv("QUIVER_DATA", str(data))
    monkeypatch.setenv("QUIVER_LANES", "1")
    for console in (render.out, render.err):
        monkeypatch.setattr(console, "_width", 200)


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: object) -> Ran:
    """`quiver ARGS` in this process."""
    monkeypatch.setattr(sys, "argv", ["quiver", *map(str, args)])
    capsys.readouterr()
    try:
        main()
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(bool(exc.code))
    said = capsys.readouterr()
    return Ran(status, said.out, said.err)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path) -> Run:
    use_toy(monkeypatch, data)
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three texts and three pictures."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        (folder / f"{name}.txt").write_text(f"{name} {name}")
        PIL.Image.new("RGB", (20, 16), colour).save(folder / f"{name}.png")
    return folder


def names(ran: Ran) -> list[str]:
    return [hit["external_id"] for hit in ran.json["hits"]]


def test_ingest_search_show_remove_and_status_from_an_empty_folder(run: Run, files: Path) -> None:
    assert run("status").out.startswith("there is no collection yet")
    first = run("ingest", files)
    assert first.status == 0, first
    assert "6 added" in first.out
    assert "6 indexed" in first.out
    found = run("search", "red")
    assert found.status == 0
    assert re.search(r"\n1 .*red\.(txt|png)", found.out), found.out
    assert "colour = toy" in found.out
    shown = run("show", "red.txt")
    assert re.search(r"state +indexed", shown.out)
    assert "6" in run("status").out
    gone = run("rm", "red.txt", "red.png")
    assert (gone.status, gone.out) == (0, "2 removed\n")
    assert "red" not in run("search", "red").out.partition("\n")[2]


def test_a_second_ingest_says_that_nothing_changed(run: Run, files: Path) -> None:
    run("ingest", files)
    again = run("ingest", files)
    assert again.status == 0
    assert "nothing changed: 6 assets are as they were" in again.out
    (files / "red.txt").write_text("blue")
    assert "0 added, 1 changed, 5 unchanged; 1 indexed" in run("ingest", files).out


def test_json_of_ingest_says_all_that_was_done(run: Run, files: Path) -> None:
    (files / "bad.jpg").write_text("no picture")
    (files / "poison.txt").write_text("poison")
    ran = run("ingest", files, "--json")
    assert ran.status == 1
    said = ran.json
    assert {key: said[key] for key in ("added", "changed", "unchanged", "indexed", "enqueued")} == {
        "added": 7,
        "changed": 0,
        "unchanged": 0,
        "indexed": 6,
        "enqueued": False,
    }
    assert [(p["name"], p["kind"]) for p in said["refused"]] == [("bad.jpg", "CorruptMedia")]
    (failure,) = said["failures"]
    assert (failure["external_id"], failure["kind"], failure["attempts"]) == ("poison.txt", "EncoderBroke", 1)
    assert failure["retry_at"] is None
    assert {"decode", "encode", "upsert", "commit"} <= set(said["stages"])
    assert said["seconds"] > 0


def test_json_of_search_holds_hits_with_matches_models_and_times(run: Run, files: Path) -> None:
    run("ingest", files)
    said = run("search", "red", "--json", "--limit", 2).json
    assert len(said["hits"]) == 2
    hit = next(hit for hit in said["hits"] if hit["modality"] == "text")
    assert {hit["external_id"] for hit in said["hits"]} == {"red.txt", "red.png"}
    assert str(UUID(hit["asset"])) == hit["asset"]
    assert len(hit["digest"]) == 64
    assert hit["media_type"] == "text/plain"
    assert hit["metadata"] == {}
    match = hit["matches"][0]
    assert match["text"] == "red red"
    assert match["span"] == {"start": 0, "end": 7, "unit": "char"}
    assert (match["rank"], match["ordinal"]) == (1, 0)
    assert said["encoders"] == {"colour": "toy", "words": "toy"}
    assert set(said["seconds"]) == {"encode", "store", "fuse", "rerank", "total"}


def test_json_of_show_status_rm_and_sweep_parses(run: Run, files: Path) -> None:
    run("ingest", files, "-f", "kind=keyword")
    shown = run("show", "red.png", "--json").json
    assert (shown["asset"]["external_id"], shown["state"], shown["failure"]) == ("red.png", "indexed", None)
    assert Path(shown["path"]).read_bytes() == (files / "red.png").read_bytes()
    (status,) = run("status", "--json").json
    assert status["name"] == "default"
    assert status["profile"] == "toy"
    assert status["fields"] == {"kind": "keyword"}
    assert status["encoders"] == {"colour": "toy", "words": "toy"}
    assert status["counts"]["indexed"] == 6
    assert run("status", "default", "--json").json == [status]
    assert run("sweep", "--json").json["indexed"] == 0
    gone = run("rm", "red.png", "nobody", "--json")
    assert gone.status == 1
    assert gone.json == {"removed": 1, "unknown": ["nobody"]}


def test_search_by_picture_by_likeness_by_kind_and_by_filter(run: Run, files: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    lines = [
        {"path": f"files/{path.name}", "metadata": {"size": at}} for at, path in enumerate(sorted(files.iterdir()))
    ]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    assert run("ingest", manifest, "-c", "m", "-f", "size=integer").status == 0
    search = ("search", "-c", "m", "--json")
    assert set(names(run(*search, "--image", files / "red.png"))[:2]) == {"files/red.png", "files/red.txt"}
    like = names(run(*search, "--like", "files/red.png"))
    assert "files/red.png" not in like
    assert "files/red.txt" in like[:2]
    assert set(names(run(*search, "red", "-m", "image"))) == {f"files/{c}.png" for c in ("red", "green", "blue")}
    assert len(names(run(*search, "red", "-m", "image", "-m", "text"))) == 6
    assert len(names(run(*search, "red", "-w", "size < 2"))) == 2
    assert names(run(*search, "red", "-w", "size = 4 or size > 4", "--exact", "-n", 1))[0].startswith("files/red")


def test_html_is_a_sheet_with_its_pictures_inside(run: Run, files: Path, tmp_path: Path) -> None:
    run("ingest", files)
    sheet = tmp_path / "sheet.html"
    ran = run("search", "red <b>", "--html", sheet)
    assert ran.status == 0
    assert f"contact sheet: {sheet}" in ran.out
    page = sheet.read_text(encoding="utf-8")
    pictures = re.findall(r'<img alt="(\w+)\.png" src="data:image/jpeg;base64,([^"]+)"', page)
    assert {name for name, _ in pictures} == {"red", "green", "blue"}
    for _, body in pictures:
        assert base64.b64decode(body).startswith(b"\xff\xd8")
    assert "red &lt;b&gt;" in page
    assert "<blockquote>red red</blockquote>" in page
    quiet = run("search", "red", "--json", "--html", sheet)
    assert quiet.json["hits"], "the document is all that is printed"


def test_a_sheet_that_cannot_be_written_says_so(run: Run, files: Path, tmp_path: Path) -> None:
    run("ingest", files)
    ran = run("search", "red", "--html", tmp_path / "nowhere" / "sheet.html")
    assert ran.status == 2
    assert "a folder that is there" in ran.err


def test_removing_what_is_not_there_ends_with_1_and_names_it(run: Run, files: Path) -> None:
    run("ingest", files)
    ran = run("rm", "red.txt", "nobody", "[red]none")
    assert ran.status == 1
    assert ran.out == "1 removed\n"
    assert "there is no asset 'nobody' in 'default'" in ran.err
    assert "'[red]none'" in ran.err
    assert run("show", "nobody").status == 2


def test_the_collection_may_be_named_by_the_environment(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVER_COLLECTION", "mine")
    assert run("ingest", files).out.startswith("mine: 6 added")
    assert len(names(run("search", "red", "--json"))) == 6


def test_a_second_ingest_need_not_declare_the_fields_again(run: Run, files: Path) -> None:
    run("ingest", files, "-f", "kind=keyword")
    assert run("ingest", files).status == 0
    assert run("ingest", files, "-f", "kind=keyword").status == 0


@pytest.mark.parametrize(
    "text", ["[/red] red", "C:\\[/x] red", "\\", "[bold]red", ":cat: red", "red\x1b[2Jcleared", "猫 [[ ]]"]
)
def test_no_text_or_name_is_markup_or_steers_the_terminal(run: Run, tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"text": text, "id": f"id {text}"}))
    assert run("ingest", manifest).status == 0
    found = run("search", "red")
    assert found.status == 0
    shown = text.replace("\x1b", "\\x1b")
    assert f"id {shown}" in found.out
    assert "\x1b" not in found.out
    assert f"id {shown}" in run("show", f"id {text}").out
    missing = run("show", f"no {text}")
    assert missing.status == 2
    assert "\x1b" not in missing.err
    assert text.split("\x1b")[0].split("\\")[0] in missing.err


def test_problems_are_a_table_and_never_markup(run: Run, files: Path) -> None:
    (files / "[bold]x.jpg").write_text("[/red]")
    for at in range(25):
        (files / f"empty-{at}.txt").write_text("")
    ran = run("ingest", files)
    assert ran.status == 1
    assert "[bold]x.jpg: named like an image (.jpg) but holds text: '[/red]'" in ran.out
    assert "EmptyMedia" in ran.out
    assert "and 6 more: use --json" in ran.out
    assert len(run("ingest", files, "--json").json["refused"]) == 26


def test_help_and_version_need_no_data_folder(run: Run, data: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("version").out)
    top = run("--help")
    for command in ("ingest", "search", "show", "status", "rm", "sweep", "migrate", "worker"):
        assert command in top.out
        assert run(command, "--help").status == 0
    assert not data.exists()


def test_a_usage_error_ends_with_2(run: Run) -> None:
    for args in (("search", "--limit", "many"), ("ingest",), ("nonsense",), ("rm",)):
        assert run(*args).status == 2, args


def test_migrate_makes_the_tables_and_may_be_run_twice(run: Run, data: Path) -> None:
    for _ in range(2):
        assert run("migrate").status == 0
    assert (data / "catalogue.db").exists()


def test_a_worker_without_a_broker_does_not_start(run: Run) -> None:
    ran = run("worker")
    assert ran.status == 3
    assert "QUIVER_BROKER_URL" in ran.err


def test_sweep_indexes_what_was_left_behind(run: Run, files: Path, data: Path) -> None:
    from tests.doubles import toy_parts
    from tests.flow.embedded import register_all

    parts = toy_parts(data)
    register_all(parts, files)
    parts.close()
    assert run("search", "red", "-c", "c", "--json").json["hits"] == []
    assert run("sweep").out == "6 indexed, 0 failed\n"
    assert len(names(run("search", "red", "-c", "c", "--json"))) == 6


SCRIPT = "from quiver.cli.app import main; main()"
BEST = {"a cat": "chelsea.png", "rocket": "rocket.jpg", "a cup of coffee": "coffee.png", "一杯咖啡": "coffee.png"}


def test_the_packaged_encoders_find_real_photos_from_a_real_process(tmp_path: Path, data: Path) -> None:
    """The one test here that loads real weights: a person's first ten minutes."""
    skimage = pytest.importorskip("skimage")
    photos = Path(skimage.__file__).parent / "data"
    chosen = ["chelsea.png", "rocket.jpg", "coffee.png", "astronaut.png", "coins.png", "page.png", "moon.png"]
    chosen = [name for name in chosen if (photos / name).exists()]
    assert {"chelsea.png", "rocket.jpg", "coffee.png"} <= set(chosen)

    command = [sys.executable, "-c", SCRIPT, "ingest", *(str(photos / name) for name in chosen), "--data", str(data)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["indexed"] == len(chosen)
    with Quiver.open(data) as opened:
        for question, best in BEST.items():
            assert opened.search("default", question, modality="image").hits[0].external_id == best, question
