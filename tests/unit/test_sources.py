"""Files and folders as a source."""

from __future__ import annotations

import os
import re
import subprocess
import unicodedata
from pathlib import Path

import pytest

from core.errors import BadManifest, Conflict, NoSuchPath, Refused
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline
from ingest.sources.paths import items


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.txt", "a/c.txt", "a/b/d.txt", "a.txt", ".hidden", ".git/config", "a/.DS_Store"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "tree"


def found(*paths: Path) -> list[Found]:
    out = list(items(paths))
    assert all(isinstance(one, Found) for one in out), out
    return [one for one in out if isinstance(one, Found)]


def ids(*paths: Path) -> list[str]:
    return [one.external_id for one in found(*paths)]


def faults(*paths: Path) -> list[Refused]:
    return [one for one in items(paths) if isinstance(one, Refused)]


def test_a_folder_is_walked_in_order_and_ids_are_relative_to_it(tree):
    assert ids(tree) == ["a.txt", "a/b/d.txt", "a/c.txt", "b.txt"]
    assert [one.path.read_text() for one in found(tree)] == ids(tree)


def test_a_file_that_is_given_has_its_name_for_id_even_when_hidden(tree):
    assert ids(tree / "a/c.txt", tree / ".hidden") == ["c.txt", ".hidden"]


def test_inputs_keep_their_order(tree):
    assert ids(tree / "b.txt", tree / "a") == ["b.txt", "b/d.txt", "c.txt"]


def test_a_path_that_is_not_there_is_refused_before_anything_is_found(tree):
    with pytest.raises(NoSuchPath, match=r"nowhere.*no such file or folder"):
        items([tree, tree / "nowhere"])
    with pytest.raises(NoSuchPath):
        items([Path("a\0b")])


def test_of_two_files_of_one_id_the_second_is_refused_naming_both(tree):
    (tree / "other").mkdir()
    (tree / "other/c.txt").write_text("another")
    one, other, fault = items([tree / "a", tree / "other"])
    assert [getattr(each, "external_id", "") for each in (one, other)] == ["b/d.txt", "c.txt"]
    assert isinstance(fault, Conflict)
    assert re.search(r"other/c\.txt and .*tree/a/c\.txt would both be 'c\.txt'", str(fault))


def test_the_same_file_given_twice_is_found_once(tree):
    assert ids(tree, tree) == ids(tree)
    assert ids(tree / "b.txt", tree / "a" / ".." / "b.txt") == ["b.txt"]


def test_ids_are_nfc_whatever_the_file_system_says(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "café.txt")).write_text("x")
    assert ids(tmp_path) == [unicodedata.normalize("NFC", "café.txt")]


def test_two_spellings_of_one_name_are_refused(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "é")).write_text(form)
        folder = tmp_path / unicodedata.normalize(form, "ü")
        folder.mkdir(exist_ok=True)
        (folder / "x.txt").write_text(form)
    if len(list(tmp_path.iterdir())) == 2:
        pytest.skip("this file system keeps one spelling only")
    assert [type(fault) for fault in faults(tmp_path)] == [Conflict, Conflict]
    assert len(list(items([tmp_path]))) == 4


def test_a_name_that_is_not_utf8_has_an_id_that_is(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert ids(tmp_path) == [r"caf\xe9.txt"]
    ids(tmp_path)[0].encode()


def test_links_that_loop_are_not_followed_and_others_are(tree, tmp_path):
    (tree / "a/up").symlink_to(tree)
    (tree / "a/self").symlink_to("self")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "e.txt").write_text("x")
    (outside / "back").symlink_to(outside)
    (tree / "link").symlink_to(outside)
    assert ids(tree) == ["a.txt", "a/b/d.txt", "a/c.txt", "a/self", "b.txt", "link/e.txt"]


def test_what_is_no_file_is_found_so_that_its_draft_says_why(tree):
    os.mkfifo(tree / "pipe")
    (tree / "gone").symlink_to("nowhere")
    assert {"pipe", "gone"} <= set(ids(tree))


def test_a_folder_that_cannot_be_listed_is_a_fault_and_stops_no_other(tree, monkeypatch):
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [getattr(one, "external_id", type(one)) for one in items([tree])] == [
        "a.txt",
        NoSuchPath,
        "a/c.txt",
        "b.txt",
    ]
    assert "tree/a/b: cannot be listed (Permission denied)" in str(faults(tree)[0])


def test_a_folder_that_goes_away_before_it_is_listed_is_a_fault_and_no_file(tree):
    walking = items([tree])
    tree.rename(tree.with_name("away"))
    [fault] = walking
    assert isinstance(fault, NoSuchPath)


def test_an_entry_that_may_not_be_looked_at_is_found_so_that_its_draft_says_why(tree, monkeypatch):
    class Hidden:
        name = "locked"

        def is_dir(self) -> bool:
            raise PermissionError(13, "Permission denied")

    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: [*real(path), Hidden()] if path == tree else real(path))
    assert ids(tree) == ["a.txt", "a/b/d.txt", "a/c.txt", "b.txt", "locked"]


def test_a_manifest_given_by_name_is_read_and_one_in_a_folder_is_a_file(tree):
    manifest = tree / "list.jsonl"
    manifest.write_text('{"path": "b.txt", "id": "bee"}\n{"text": "hello"}\noops\n')
    assert "list.jsonl" in ids(tree)
    found, inline, bad = items([manifest])
    assert found == Found("bee", tree / "b.txt", {})
    assert isinstance(inline, Inline)
    assert isinstance(bad, BadManifest)


def test_sources_keep_their_order_and_a_clash_costs_one_line(tree):
    manifest = tree / "list.jsonl"
    manifest.write_text('{"path": "a.txt", "id": "c.txt"}\n{"path": "a.txt"}\n')
    other = tree / "more.JSONL"
    other.write_text('{"path": "a.txt"}\n{"path": "a.txt", "id": "z"}\n')
    said = list(items([tree / "a", manifest, other, manifest]))
    assert [getattr(one, "external_id", type(one)) for one in said] == [
        "b/d.txt",
        "c.txt",
        Conflict,
        "a.txt",
        "z",  # the very file a.txt again is nothing new
    ]
    assert "list.jsonl" in str(said[2])
    assert "a/c.txt" in str(said[2])


def test_a_missing_manifest_is_refused_before_anything_is_found(tree):
    with pytest.raises(NoSuchPath, match=r"no\.jsonl"):
        items([tree, tree / "no.jsonl"])


@pytest.mark.timeout(5)
def test_a_manifest_that_is_a_pipe_is_refused_and_hangs_nothing(tree):
    os.mkfifo(tree / "pipe.jsonl")
    (said,) = items([tree / "pipe.jsonl"])
    assert isinstance(said, Refused)
    assert "pipe.jsonl: it is a named pipe" in str(said)


def test_the_first_file_is_given_before_the_next_folder_is_listed(tree, monkeypatch):
    listed: list[str] = []
    real = os.scandir

    def scandir(path: Path) -> object:
        listed.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    walking = items([tree])
    assert next(walking) == Found("a.txt", tree / "a.txt")
    assert listed == ["tree"]
    assert len(list(walking)) == 3
    assert listed == ["tree", "a", "b"]


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path):
    deep = "/".join("d" * 1200)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1200):
            os.mkdir("d", dir_fd=folder)
            below = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = below
    finally:
        os.close(folder)
    try:
        (tmp_path / deep / "x.txt").write_text("x")
        assert ids(tmp_path) == [f"{deep}/x.txt"]
    finally:  # pytest clears up by shutil, which is no walker of ours
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)
