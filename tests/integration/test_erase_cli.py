"""`quiver erase` and `quiver erasures`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_cli import Run, call, use_toy


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def texts(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a", "b", "d"):
        (folder / f"{name}.txt").write_text(f"red {name}")
    run("ingest", folder, "-c", "c")
    return folder


def found(run: Run) -> list[str]:
    return sorted(hit["external_id"] for hit in run("search", "red", "-c", "c", "--json").json["hits"])


def test_it_is_looked_at_asked_for_and_done(run: Run, texts: Path, tmp_path: Path) -> None:
    assert "1 assets, 1 points: would be erased" in run("erase", "--external-id", "a.txt", "-c", "c", "--dry-run").out
    unsure = run("erase", "--external-id", "a.txt", "-c", "c")
    assert unsure.status == 2
    assert "--yes" in unsure.err
    assert len(found(run)) == 3
    done = run("erase", "--external-id", "a.txt", "-c", "c", "--yes", "--reason", "a letter", "--json").json
    assert (done["assets"], done["points"], done["verified"]) == (1, 1, True)
    assert found(run) == ["b.txt", "d.txt"]
    [listed] = run("erasures", "list", "--json").json
    assert listed == done["receipts"][0] == run("erasures", "show", "1").json
    assert "the chain holds" in run("erasures", "verify").out
    (tmp_path / "kept.json").write_text(json.dumps(done))
    assert run("erasures", "verify", "--receipts", tmp_path / "kept.json", "--json").json["ok"] is True
    assert "0 erased again" in run("erasures", "replay").out
    assert run("erasures", "show", "9").status == 2


def test_a_name_that_nothing_has_is_said_to_be_unknown_and_gets_its_receipt(run: Run, texts: Path) -> None:
    assert "no asset is there" in run("erase", "--external-id", "z.txt", "-c", "c", "--dry-run").out
    done = run("erase", "--external-id", "z.txt", "-c", "c", "--yes")
    assert (done.status, "erased for good" in done.out) == (0, False)
    assert "nothing was there to erase" in done.out
    assert "there is no asset 'z.txt'" in done.err
    said = run("erase", "--external-id", "z.txt", "-c", "c", "--yes", "--json").json
    assert (said["nothing"], said["unknown"]) == (True, ["z.txt"])
    assert run("erasures", "show", "1").json["receipt"]["outcome"] == "nothing was there to erase"
    (texts / "bad.txt").write_bytes(b"")
    run("ingest", texts, "-c", "c")
    assert len(found(run)) == 3


def test_all_of_a_tenant_goes_where_it_is_said(run: Run, texts: Path) -> None:
    for wrong in ([], ["-c", "c", "--all-collections"]):
        assert run("erase", "--tenant", "default", "--yes", *wrong).status == 2
    assert run("erase", "--tenant", "nobody", "--all-collections", "--yes", "--json").json["assets"] == 0
    assert len(found(run)) == 3
    assert "3 assets, 3 points: erased for good" in run("erase", "--tenant", "default", "-c", "c", "-y").out
    assert found(run) == []


def test_a_chain_that_was_changed_is_told_of(run: Run, texts: Path, tmp_path: Path) -> None:
    kept = run("erase", "--external-id", "a.txt", "-c", "c", "--yes", "--json").json["receipts"][0]
    book = tmp_path / "data" / "erasures.jsonl"
    book.write_text(book.read_text().replace("operator", "somebody"))
    changed = run("erasures", "verify")
    assert changed.status == 1
    assert "was changed" in changed.out
    (tmp_path / "none.json").write_text("[1]")
    assert run("erasures", "verify", "--receipts", tmp_path / "none.json").status == 2
    assert run("erasures", "verify", "--receipts", tmp_path / "nowhere.json").status == 2
    kept["receipt"]["reason"] = "changed"
    (tmp_path / "lines.jsonl").write_text(json.dumps(kept) + "\n" + json.dumps(kept))
    assert run("erasures", "verify", "--receipts", tmp_path / "lines.jsonl").status == 1
