"""Every bad input, through the command line and through Python: a clear message, the right end, nothing good lost."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import StoreLocked, UnknownSetting
from quiver import Quiver
from tests.doubles import toy_parts
from tests.integration.refusals import REFUSALS
from tests.integration.test_cli import Ran, Run, call, use_toy
from tests.photos import huge_png, photo

GOOD = {"red.txt", "blue.txt", "good.jpg"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path) -> Run:
    use_toy(monkeypatch, data)
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three good neighbours."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "red.txt").write_text("red")
    (folder / "blue.txt").write_text("blue")
    (folder / "good.jpg").write_bytes(photo())
    return folder


def bomb() -> bytes:
    """A PNG of a few hundred bytes that claims 3.6 thousand million pixels."""
    made = photo("PNG")
    head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + made[24:29]
    return made[:12] + head + struct.pack(">I", zlib.crc32(head)) + made[33:]


def text_bomb() -> bytes:
    """A PNG whose compressed comment unpacks to 200 MB."""
    made, packer = photo("PNG"), zlib.compressobj(9)
    body = b"zTXtcomment\0\0" + b"".join(packer.compress(bytes(10**6)) for _ in range(200)) + packer.flush()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return made[:33] + chunk + made[33:]


@dataclass(frozen=True)
class Bad:
    """A file, and what is said of it."""

    name: str
    make: Callable[[], bytes]
    kind: str
    words: tuple[str, ...]


FILES = [
    Bad("empty.txt", lambda: b"", "EmptyMedia", ("empty",)),
    Bad("blank.txt", lambda: b" \n\t ", "EmptyMedia", ("white space",)),
    Bad("text.jpg", lambda: b"just words", "CorruptMedia", ("named like an image", "just words")),
    Bad("cut.jpg", lambda: photo("JPEG", 400, 300)[:2000], "CorruptMedia", ()),
    Bad("cut.png", lambda: photo("PNG", 400, 300)[:300], "CorruptMedia", ()),
    Bad("bomb.png", bomb, "TooLarge", ("pixels", "QUIVER_MAX_PIXELS")),
    Bad("huge.png", huge_png, "TooLarge", ("200,000,000", "pixels", "QUIVER_MAX_PIXELS")),
    Bad("latin.txt", lambda: "café crème".encode("latin-1"), "CorruptMedia", ("UTF-8",)),
    Bad("late.txt", lambda: b"red " * 30_000 + b"\xff\xfe red", "CorruptMedia", ("UTF-8",)),
    Bad("paper.txt", lambda: b"%PDF-1.7 ...", "CorruptMedia", ("PDF",)),
    Bad("noise.bin", lambda: bytes(range(256)) * 40, "UnsupportedMedia", ()),
]


def good_are_found(run: Run, collection: str = "default") -> None:
    said = run("search", "red blue", "-c", collection, "-n", 50, "--json")
    assert said.status == 0, said
    assert {hit["external_id"] for hit in said.json["hits"]} == GOOD


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.name)
def test_a_bad_file_costs_itself_and_says_why(bad: Bad, run: Run, files: Path) -> None:
    (files / bad.name).write_bytes(bad.make())
    for attempt in ("first", "again"):
        said = run("ingest", files, "--json")
        assert said.status == 1, (attempt, said)
        problems = [(p["name"], p["kind"], p["message"]) for p in said.json["refused"]]
        problems += [(f["external_id"], f["kind"], f["message"]) for f in said.json["failures"]]
        ((name, kind, message),) = problems
        assert (name, kind) == (bad.name, bad.kind), message
        for word in bad.words:
            assert word in message
        good_are_found(run)
    (files / bad.name).write_bytes(b"red")
    if bad.name.endswith(".txt"):
        mended = run("ingest", files, "--json")
        assert (mended.status, mended.json["indexed"]) == (0, 1)


def test_a_comment_that_unpacks_to_200_megabytes_costs_its_file_at_most(run: Run, files: Path) -> None:
    (files / "comment.png").write_bytes(text_bomb())
    said = run("ingest", files, "--json")
    assert said.status in (0, 1)
    assert len(said.json["refused"]) + len(said.json["failures"]) == said.status
    found = {hit["external_id"] for hit in run("search", "red", "--json").json["hits"]}
    assert found - {"comment.png"} == GOOD


def test_all_bad_files_at_once_cost_themselves_alone(data: Path, files: Path) -> None:
    for bad in FILES:
        (files / bad.name).write_bytes(bad.make())
    with Quiver(toy_parts(data)) as quiver:
        report = quiver.ingest(files, collection="c")
        assert not report.ok
        assert report.indexed == len(GOOD)
        said = {problem.name: problem.kind for problem in report.refused}
        said |= {failure.external_id: failure.kind for failure in report.failures}
        assert said == {bad.name: bad.kind for bad in FILES}
        assert {hit.external_id for hit in quiver.search("c", "red blue").hits} == GOOD


def test_a_bad_line_of_a_manifest_costs_its_line(run: Run, files: Path) -> None:
    lines = [json.dumps({"path": name, "metadata": {"n": at}}) for at, name in enumerate(sorted(GOOD))]
    bad = ["{not json", "[1]", '{"text": "x", "id": "n", "metadata": {"n": "three"}}', '{"path": "nowhere.jpg"}']
    (files / "m.jsonl").write_text("\n".join([lines[0], *bad, *lines[1:]]))
    said = run("ingest", files / "m.jsonl", "-f", "n=integer", "--json")
    assert said.status == 1
    problems = {problem["kind"]: problem["message"] for problem in said.json["refused"]}
    assert set(problems) == {"BadManifest", "BadMetadata", "NoSuchPath"}
    assert len(said.json["refused"]) == 4
    messages = " ".join(problem["message"] for problem in said.json["refused"])
    for words in ("m.jsonl, line 2: not JSON", "m.jsonl, line 3: must be an object", "nowhere.jpg"):
        assert words in messages
    assert "'n' is declared integer" in problems["BadMetadata"]
    good_are_found(run)


def test_a_manifest_that_is_no_text_costs_itself(run: Run, files: Path) -> None:
    (files / "m.jsonl").write_bytes(bytes(range(256)))
    said = run("ingest", files / "m.jsonl", files / "red.txt", files / "blue.txt", files / "good.jpg", "--json")
    assert said.status == 1
    assert {problem["kind"] for problem in said.json["refused"]} == {"BadManifest"}
    good_are_found(run)


@pytest.fixture
def ingested(run: Run, files: Path, tmp_path: Path) -> Run:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "cut.jpg").write_bytes(photo("JPEG", 400, 300)[:2000])
    (tmp_path / "bad" / "huge.png").write_bytes(huge_png())
    assert run("ingest", files, "-f", "kind=keyword", "-f", "price=float").status == 0
    return run


def test_what_is_refused_says_why_and_loses_nothing(ingested: Run, files: Path, data: Path, tmp_path: Path) -> None:
    """One collection for all of them: what one left behind would show in the next."""
    for name, case in REFUSALS.items():
        said: Ran = ingested(*(arg.format(files=files, bad=tmp_path / "bad") for arg in case.args))
        assert said.status == case.status, (name, said)
        assert said.err.startswith(f"{case.fault.__name__}: "), (name, said.err)
        assert "Traceback" not in said.err
        for word in case.words:
            assert word in said.err, (name, said.err)
        with Quiver(toy_parts(data)) as quiver:
            with pytest.raises(case.fault) as caught:
                case.ask(quiver, files)
            for word in case.words:
                assert word in str(caught.value), name
            assert [status.name for status in quiver.status()] == ["default"], name
    good_are_found(ingested)


@pytest.mark.timeout(60)  # nobody ever writes into the pipe
def test_a_query_picture_that_is_a_pipe_is_refused_at_once(ingested: Run, files: Path) -> None:
    os.mkfifo(files / "pipe.png")
    said = ingested("search", "--image", files / "pipe.png")
    assert said.status == 2
    assert "pipe.png: it is a named pipe" in said.err


def test_an_unknown_setting_stops_every_command(
    ingested: Run, files: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("QUIVER_NONSENSE", "1")
        for args in (("ingest", files), ("search", "red"), ("status",), ("worker",)):
            said = ingested(*args)
            assert said.status == 3, args
            assert said.err.startswith("UnknownSetting: QUIVER_NONSENSE is no setting")
            assert "QUIVER_DATA" in said.err
        with pytest.raises(UnknownSetting):
            Quiver.open(data)
    good_are_found(ingested)


def test_a_data_folder_that_cannot_be_made_says_so(run: Run, files: Path, tmp_path: Path) -> None:
    for command in (("ingest", files), ("status",)):
        said = run(*command, "--data", files / "red.txt" / "data")
        assert said.status == 4, said
        assert "red.txt" in said.err


def test_a_catalogue_that_is_no_database_says_so(run: Run, files: Path, data: Path) -> None:
    data.mkdir()
    (data / "catalogue.db").write_bytes(b"this is no database at all" * 100)
    said = run("ingest", files)
    assert said.status == 3
    assert said.err.startswith("CatalogueBroken: ")


def test_an_id_that_looks_like_one_of_ours_is_still_a_name(data: Path, files: Path) -> None:
    name = "6f0d3f5c-6b0e-4c39-9d5f-3d0f2f8f9a11"
    (files / "m.jsonl").write_text(json.dumps({"text": "red", "id": name}))
    with Quiver(toy_parts(data)) as quiver:
        quiver.ingest(files / "m.jsonl", files / "red.txt", collection="c")
        assert quiver.show("c", name).asset.external_id == name
        assert [hit.external_id for hit in quiver.search("c", like=name).hits] == ["red.txt"]
        assert quiver.remove("c", name).removed == 1


HOLD = """
import sys
from pathlib import Path
from quiver import Quiver
from tests.doubles import toy_parts

with Quiver(toy_parts(Path(sys.argv[1]))) as quiver:
    quiver.search("default", "red")
    print("holding", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holding(data: Path) -> Iterator[int]:
    """Its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "holding"
            yield child.pid
        finally:
            child.kill()


@pytest.mark.timeout(120)  # it must never hang
def test_a_folder_that_another_process_holds_names_the_holder_and_status_still_works(
    ingested: Run, files: Path, data: Path
) -> None:
    with another_process_holding(data) as pid:
        assert pid != os.getpid()
        for args in (("search", "red"), ("ingest", files), ("rm", "red.txt")):
            said = ingested(*args)
            assert said.status == 4, (args, said)
            assert said.err.startswith(f"StoreLocked: process {pid} holds "), said.err
            assert "quiver store" in said.err
        status = ingested("status", "--json")
        assert status.status == 0
        assert ingested("show", "blue.txt").status == 0
        with Quiver(toy_parts(data)) as quiver, pytest.raises(StoreLocked, match=str(pid)):
            quiver.search("default", "red")
    assert ingested("sweep").status == 0
    found = {hit["external_id"] for hit in ingested("search", "red blue", "--json").json["hits"]}
    assert found >= GOOD - {"red.txt"}
