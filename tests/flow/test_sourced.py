"""Sources taken in again and again: what is not read twice, and what is pruned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadQuery, CatalogueDown, NoSuchCollection, NoSuchPath
from core.records import State
from core.runtime.wiring import Parts
from core.types import AssetId
from ingest import register as registering
from ingest.sources import folder
from ingest.sources.ledger import Ledger
from quiver import Quiver
from quiver.reports import IngestReport
from tests.flow.embedded import embedded
from tests.flow.promises import check
from tests.unit.test_tars import SAMPLES, made
from workers import indexing
from workers.tally import Tally

WORDS = ("red", "green", "blue", "cat", "dog", "rocket")


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SETTLED", 0.0)  # a test does not wait for its files to grow old


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = embedded(tmp_path / "data", batch=4)
    yield made
    check(made)
    made.close()


@pytest.fixture
def quiver(parts: Parts) -> Quiver:
    return Quiver(parts)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    there = tmp_path / "files"
    there.mkdir()
    for word in WORDS:
        (there / f"{word}.txt").write_text(word)
    return there


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The external ids of what was read, in order."""
    out: list[str] = []
    real = registering.draft_stream

    def draft_stream(*args: Any, external_id: str, **more: Any) -> Any:
        out.append(external_id)
        return real(*args, external_id=external_id, **more)

    monkeypatch.setattr(registering, "draft_stream", draft_stream)
    return out


def there(quiver: Quiver) -> list[str]:
    return [one.asset.external_id for one in quiver.assets("c", limit=1000)]


def counted(report: IngestReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, len(report.pruned)


def test_what_is_as_it_was_is_not_read_again(quiver, files, read):
    assert counted(quiver.ingest(files, collection="c")) == (6, 0, 0, 0)
    assert len(read) == 6
    read.clear()
    assert counted(quiver.ingest(files, collection="c")) == (0, 0, 6, 0)
    assert read == []
    (files / "red.txt").write_text("red red")
    os.utime(files / "blue.txt", (1, 1))
    (files / "new.txt").write_text("new")
    assert counted(quiver.ingest(files, collection="c")) == (1, 1, 5, 0)
    assert sorted(read) == ["blue.txt", "new.txt", "red.txt"]


def test_a_file_of_the_same_size_and_time_is_read_again_all_the_same(quiver, files, read):
    quiver.ingest(files, collection="c")
    before = (files / "red.txt").stat()
    (files / "red.txt").write_text("cat")
    os.utime(files / "red.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert counted(quiver.ingest(files, collection="c")) == (0, 1, 5, 0)
    assert quiver.content("c", "red.txt") == b"cat"


def test_a_file_so_young_that_it_may_change_unseen_is_read_again(quiver, files, read, monkeypatch):
    monkeypatch.setattr(folder, "SETTLED", 1000.0)
    quiver.ingest(files, collection="c")
    read.clear()
    assert counted(quiver.ingest(files, collection="c")) == (0, 0, 6, 0)
    assert len(read) == 6


def test_what_was_removed_or_changed_by_others_comes_back(quiver, files, read):
    quiver.ingest(files, collection="c")
    quiver.remove("c", "red.txt")
    quiver.add("c", text="another", id="blue.txt")
    read.clear()
    assert counted(quiver.ingest(files, collection="c")) == (1, 1, 4, 0)
    assert sorted(read) == ["blue.txt", "red.txt"]
    assert quiver.content("c", "blue.txt") == b"blue"


def test_a_sidecar_that_changed_changes_its_asset(quiver, tmp_path, files, read):
    for name in ("a.md", "b.md"):
        (files / name).write_text("red")
    (files / "a.json").write_text('{"n": 1}')
    quiver.ingest(files, collection="c", sidecars=True, glob=["*.md"])
    assert quiver.show("c", "a.md").asset.metadata == {"n": 1}
    read.clear()
    (files / "a.json").write_text('{"n": 22}')
    assert counted(quiver.ingest(files, collection="c", sidecars=True, glob=["*.md"])) == (0, 1, 1, 0)
    assert quiver.show("c", "a.md").asset.metadata == {"n": 22}
    (files / "b.txt").write_text("a caption")
    assert counted(quiver.ingest(files, collection="c", sidecars=True, glob=["*.md"])) == (0, 1, 1, 0)
    assert read == ["a.md", "b.md"]


def test_metadata_in_a_manifest_that_changed_changes_its_asset(quiver, files, tmp_path, read):
    manifest = files / "list.csv"
    for at in (1, 2):
        manifest.write_text(f"path,n\nred.txt,{at}\nblue.txt,0\n")
        quiver.ingest(manifest, collection="c", fields=["n=integer"])
        assert quiver.show("c", "red.txt").asset.metadata == {"n": at}
    assert read == ["red.txt", "blue.txt", "red.txt"]


def test_what_vanished_is_removed_only_when_asked_for(quiver, files):
    quiver.ingest(files, collection="c")
    (files / "red.txt").unlink()
    assert counted(quiver.ingest(files, collection="c")) == (0, 0, 5, 0)
    assert "red.txt" in there(quiver)
    report = quiver.ingest(files, collection="c", prune=True)
    assert (report.pruned, report.ok) == (("red.txt",), True)
    assert "red.txt" not in there(quiver)
    assert not [hit for hit in quiver.search("c", "red").hits if hit.external_id == "red.txt"]
    assert counted(quiver.ingest(files, collection="c", prune=True)) == (0, 0, 5, 0)


def test_a_dry_run_says_what_would_go_and_does_nothing(quiver, files, read):
    quiver.ingest(files, collection="c")
    (files / "red.txt").unlink()
    (files / "new.txt").write_text("new")
    read.clear()
    for _ in range(2):
        report = quiver.ingest(files, collection="c", prune=True, dry_run=True)
        assert (report.pruned, report.dry_run, counted(report)) == (("red.txt",), True, (0, 0, 0, 1))
    assert read == []
    assert "red.txt" in there(quiver)
    assert "new.txt" not in there(quiver)
    with pytest.raises(BadQuery, match="ask for both"):
        quiver.ingest(files, collection="c", dry_run=True)
    with pytest.raises(NoSuchCollection):
        quiver.ingest(files, collection="nowhere", prune=True, dry_run=True)
    assert [status.name for status in quiver.status()] == ["c"]


def test_what_came_by_another_way_is_never_pruned(quiver, files, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("one.txt", "two.txt", "three.txt"):
        (other / name).write_text(name)
    quiver.ingest(other, collection="c")
    quiver.add("c", text="by itself", id="by itself")
    quiver.ingest(files, collection="c")
    (files / "red.txt").unlink()
    assert quiver.ingest(files, collection="c", prune=True, force=True).pruned == ("red.txt",)
    (other / "blue.txt").write_text("of the other now")
    quiver.ingest(other, collection="c")
    (files / "blue.txt").unlink()
    assert quiver.ingest(files, collection="c", prune=True, force=True).pruned == ()
    quiver.add("c", text="changed by hand", id="green.txt")
    (files / "green.txt").unlink()
    assert quiver.ingest(files, collection="c", prune=True, force=True).pruned == ()
    assert {"one.txt", "by itself", "blue.txt", "green.txt"} <= set(there(quiver))


def test_what_a_pattern_leaves_out_has_not_vanished(quiver, files):
    quiver.ingest(files, collection="c")
    report = quiver.ingest(files, collection="c", glob=["red.txt"], prune=True, force=True)
    assert counted(report) == (0, 0, 1, 0)
    assert len(there(quiver)) == 6


@pytest.mark.parametrize("left", [0, 2])
def test_nothing_is_pruned_when_most_of_it_would_go(quiver, files, left):
    quiver.ingest(files, collection="c")
    for word in WORDS[left:]:
        (files / f"{word}.txt").unlink()
    report = quiver.ingest(files, collection="c", prune=True)
    [problem] = report.refused
    assert problem.kind == "Conflict"
    assert f"nothing is pruned, for {6 - left} of 6 things would go" in problem.message
    assert (report.pruned, report.ok, len(there(quiver))) == ((), False, 6)
    assert len(quiver.ingest(files, collection="c", prune=True, force=True).pruned) == 6 - left
    assert len(there(quiver)) == left


def test_a_root_that_is_away_prunes_nothing(quiver, files, tmp_path):
    quiver.ingest(files, collection="c")
    shutil.move(files, tmp_path / "away")
    with pytest.raises(NoSuchPath):
        quiver.ingest(files, collection="c", prune=True, force=True)
    assert len(there(quiver)) == 6


def test_nothing_is_pruned_when_a_folder_cannot_be_listed(quiver, files, monkeypatch):
    (files / "sub").mkdir()
    (files / "sub/x.txt").write_text("x")
    quiver.ingest(files, collection="c")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "sub":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = quiver.ingest(files, collection="c", prune=True)
    assert [problem.kind for problem in report.refused] == ["NoSuchPath", "Conflict"]
    assert "for what 1 faults stand for may still be there" in report.refused[1].message
    assert "sub/x.txt" in there(quiver)


def test_nothing_is_pruned_for_a_broken_line_or_a_cut_archive(quiver, files, tmp_path):
    manifest, shard = files / "list.jsonl", tmp_path / "s.tar"
    manifest.write_text('{"text": "one", "id": "1"}\n{"text": "two", "id": "2"}\n{"text": "three", "id": "3"}\n')
    shard.write_bytes(made(SAMPLES))
    quiver.ingest(manifest, shard, collection="c")
    before = there(quiver)
    manifest.write_text('{"text": "one", "id": "1"}\n{"text": "two", "id": "2"}\n{"text": "three", "id"\n')
    shard.write_bytes(made(SAMPLES)[:6000])
    report = quiver.ingest(manifest, shard, collection="c", prune=True)
    assert [problem.kind for problem in report.refused].count("Conflict") == 2
    assert there(quiver) == before


def test_a_file_that_became_bad_has_not_vanished(quiver, files):
    quiver.ingest(files, collection="c")
    (files / "red.txt").write_bytes(b"\x00\x01\x02" * 50)
    report = quiver.ingest(files, collection="c", prune=True)
    assert [problem.name for problem in report.refused] == ["red.txt"]
    assert report.pruned == ()


def test_a_tar_taken_in_twice_is_unchanged_and_pruned_by_its_own_members(quiver, tmp_path):
    shard = tmp_path / "s.tar"
    texts = [(f"{at:03}.txt", f"red {at}".encode()) for at in range(9)]
    shard.write_bytes(made(texts))
    assert counted(quiver.ingest(shard, collection="c")) == (9, 0, 0, 0)
    assert counted(quiver.ingest(shard, collection="c")) == (0, 0, 9, 0)
    shard.write_bytes(made(texts[1:]))
    assert quiver.ingest(shard, collection="c", prune=True).pruned == ("s.tar/000.txt",)
    assert quiver.status("c")[0].counts[State.INDEXED] == 8


def test_a_ledger_that_is_lost_costs_reading_all_once_more(quiver, parts, files, read):
    quiver.ingest(files, collection="c")
    for left in (parts.settings.data).glob("sources.db*"):
        left.unlink()
    read.clear()
    assert counted(quiver.ingest(files, collection="c")) == (0, 0, 6, 0)
    assert len(read) == 6
    (files / "red.txt").unlink()
    assert quiver.ingest(files, collection="c", prune=True).pruned == ("red.txt",)


def test_a_ledger_that_fails_after_the_commit_loses_nothing(quiver, files, monkeypatch):
    real = Ledger.keep

    def keep(*_: object) -> None:
        raise CatalogueDown("the disk is full")

    monkeypatch.setattr(Ledger, "keep", keep)
    with pytest.raises(CatalogueDown):
        quiver.ingest(files, collection="c")
    monkeypatch.setattr(Ledger, "keep", real)
    report = quiver.ingest(files, collection="c")
    assert (report.added, report.unchanged, report.indexed) == (2, 4, 6)


def test_the_total_is_told_once_it_is_counted(quiver, files, tmp_path, monkeypatch):
    said: list[Any] = []
    quiver.ingest(files, collection="c", on_progress=said.append)
    assert said[-1].registered == said[-1].done == 6
    assert {one.total for one in said} <= {None, 6}
    shard = tmp_path / "s.tar"
    shard.write_bytes(made(SAMPLES))
    said.clear()
    quiver.ingest(shard, collection="c", on_progress=said.append)
    assert {one.total for one in said} == {None}  # a stream does not know


def test_files_that_are_named_one_by_one_are_indexed_in_full_batches(
    quiver: Quiver, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell expands them. Batches are of four here."""
    sizes: list[int] = []
    real = indexing.index_batch

    def index_batch(parts: Parts, collection: str, ids: Sequence[AssetId]) -> Tally:
        sizes.append(len(ids))
        return real(parts, collection, ids)

    monkeypatch.setattr("workers.lanes.index_batch", index_batch)
    assert quiver.ingest(*sorted(files.iterdir()), collection="c").indexed == len(WORDS)
    assert sizes == [4, 2]
    assert quiver.ingest(*sorted(files.iterdir()), collection="c").unchanged == len(WORDS)
    assert sizes == [4, 2], "each file's source knows what it gave"
