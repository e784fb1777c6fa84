"""Both facades take in the same sources, prune the same things, and watch the same folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from core.errors import BadQuery, Fault, NoSuchPath
from core.records import State
from ingest.sources import folder, watch
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from quiver.reports import IngestReport
from tests.doubles import toy_parts
from tests.httpd import key_for, serving
from tests.unit.test_tars import SAMPLES, made

Door = Quiver | RemoteQuiver
WAIT = 30.0


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(folder, "SETTLED", 0.0)
    monkeypatch.setattr(watch, "REST", 0.2)
    parts = toy_parts(tmp_path / "data")
    try:
        if request.param == "embedded":
            yield Quiver(parts)
        else:
            with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
                yield remote
    finally:
        parts.close()


@pytest.fixture
def keeping(door: Door, tmp_path: Path) -> dict[str, Any]:
    """What a facade must be told so that it knows what it sent."""
    return {"ledger": tmp_path / "ledger.db"} if isinstance(door, RemoteQuiver) else {}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    there = tmp_path / "files"
    there.mkdir()
    for name in ("a.txt", "b.txt", "c.md", "d.md"):
        (there / name).write_text(f"red {name}")
    return there


def there(door: Door) -> list[str]:
    return [one.asset.external_id for one in door.assets("c", limit=100)]


def test_the_same_options_take_in_the_same_things(door: Door, files: Path, tmp_path: Path) -> None:
    (files / "c.txt").write_text("a caption")
    (tmp_path / "s.tar").write_bytes(made([("1.md", b"blue"), ("1.txt", b"a cat")]))
    (files / "list.csv").write_text("text,id,n\ngreen,g,7\n,bad,\n")
    report = door.ingest(
        files,
        tmp_path / "s.tar",
        files / "list.csv",
        collection="c",
        fields=["n=integer"],
        glob=["*.md"],
        sidecars=True,
    )
    assert (report.added, [problem.kind for problem in report.refused]) == (4, ["BadManifest"])
    assert report.failed == {"BadManifest": 1}
    assert there(door) == ["c.md", "d.md", "g", "s.tar/1.md"]
    assert [door.show("c", name).asset.metadata for name in there(door)] == [
        {"caption": "a caption"},
        {},
        {"n": 7},
        {"caption": "a cat"},
    ]
    door.wait("c", timeout=WAIT)
    assert door.status("c")[0].counts[State.INDEXED] == 4


def test_what_vanished_is_pruned_and_what_is_known_is_not_sent(
    door: Door, keeping: dict[str, Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert door.ingest(files, collection="c", **keeping).added == 4
    sent: list[object] = []
    if isinstance(door, RemoteQuiver):
        real = door.add

        def add(*args: Any, **more: Any) -> Any:
            sent.append(more)
            return real(*args, **more)

        monkeypatch.setattr(door, "add", add)
    (files / "a.txt").unlink()
    (files / "e.txt").write_text("new")
    said = door.ingest(files, collection="c", prune=True, dry_run=True, **keeping)
    assert (said.pruned, said.added) == (("a.txt",), 0)
    assert "a.txt" in there(door)
    said = door.ingest(files, collection="c", prune=True, **keeping)
    assert (said.pruned, said.added, said.changed, said.unchanged, said.ok) == (("a.txt",), 1, 0, 3, True)
    assert there(door) == ["b.txt", "c.md", "d.md", "e.txt"]
    assert len(sent) == (1 if isinstance(door, RemoteQuiver) else 0)
    for path in files.iterdir():
        path.unlink()
    said = door.ingest(files, collection="c", prune=True, **keeping)
    assert ([problem.kind for problem in said.refused], said.pruned) == (["Conflict"], ())
    assert len(door.ingest(files, collection="c", prune=True, force=True, **keeping).pruned) == 4
    assert there(door) == []


def test_a_remote_facade_without_a_ledger_prunes_nothing(door: Door, files: Path) -> None:
    if isinstance(door, RemoteQuiver):
        with pytest.raises(BadQuery, match="ledger"):
            door.ingest(files, collection="c", prune=True)
    else:
        assert door.ingest(files, collection="c", prune=True).added == 4


class Watched:
    """A facade that watches in a thread of its own, and what it said."""

    def __init__(self, door: Door, *folders: Path, **how: Any) -> None:
        self.reports: list[IngestReport] = []
        self.faults: list[Fault] = []
        self._stopping = Event()

        def work() -> None:
            door.watch(
                *folders,
                collection="c",
                on_report=self.reports.append,
                on_fault=self.faults.append,
                stopping=self._stopping,
                **how,
            )

        self._thread = Thread(target=work, daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def wait_for(door: Door, names: list[str]) -> None:
    for _ in range(600):
        try:
            if there(door) == names:
                return
        except Fault:
            pass  # there is no collection yet
        Event().wait(0.05)
    raise AssertionError((there(door), names))


def test_a_watched_folder_is_followed(door: Door, keeping: dict[str, Any], files: Path) -> None:
    with Watched(door, files, prune=True, **keeping) as watched:
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md"])
        (files / "sub").mkdir()
        (files / "sub" / "e.txt").write_text("new")
        (files / "a.txt").rename(files / "z.txt")
        wait_for(door, ["b.txt", "c.md", "d.md", "sub/e.txt", "z.txt"])
        (files / ".hidden").write_text("nothing")
        (files / "b.txt").write_text("another red")
        while door.content("c", "b.txt") != b"another red":
            Event().wait(0.05)
    assert not watched.faults
    assert all(report.ok for report in watched.reports)


def test_without_prune_what_is_deleted_stays(door: Door, files: Path) -> None:
    with Watched(door, files):
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md"])
        (files / "a.txt").unlink()
        (files / "e.txt").write_text("new")
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md", "e.txt"])


def test_a_watched_folder_that_vanishes_is_waited_for(door: Door, keeping: dict[str, Any], files: Path) -> None:
    with Watched(door, files, prune=True, **keeping):
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md"])
        away = files.rename(files.with_name("away"))
        Event().wait(0.5)
        assert len(there(door)) == 4
        away.rename(files)
        (files / "e.txt").write_text("new")
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md", "e.txt"])
        away = files.rename(files.with_name("away"))
        files.mkdir()  # another folder of that name, and empty: most would go, so nothing does
        (files / "f.txt").write_text("new")
        wait_for(door, ["a.txt", "b.txt", "c.md", "d.md", "e.txt", "f.txt"])


def test_only_folders_are_watched(door: Door, files: Path, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(made(SAMPLES))
    for wrong in (files / "a.txt", tmp_path / "s.tar", "s3://b/x"):
        with pytest.raises(BadQuery, match="only folders"):
            door.watch(wrong, collection="c", on_report=print)
    with pytest.raises(NoSuchPath):
        door.watch(files / "nowhere", collection="c", on_report=print)
    with pytest.raises(BadQuery, match="no pattern"):
        door.watch(files, collection="c", on_report=print, glob=[""])
    with pytest.raises(BadQuery, match="force"):
        door.watch(files, collection="c", on_report=print, prune=True, force=True)
