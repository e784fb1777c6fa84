"""`quiver backup --verify`: what of a backup is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.test_backups import damage
from tests.integration.test_cli import Run, call, use_toy


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    return lambda *args: call(monkeypatch, capsys, *args)


def test_a_damaged_backup_is_called_so_with_what_is_damaged(run: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a", "b"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"red {name}")
    run("ingest", tmp_path / "texts", "-c", "c")
    place = tmp_path / "backup"
    run("backup", place)
    assert "2 points, 2 files: it is whole" in run("backup", place, "--verify").out
    assert run("backup", place, "--verify", "--json").json["ok"] is True
    damage(place, "points-0.db")
    said = run("backup", place, "--verify")
    assert said.status == 1
    assert "DAMAGED: a restore would refuse it. What can be read: 0 points, 2 files" in said.out
    assert "points-0.db (vectors of c) is damaged" in said.err
    assert run("backup", place, "--verify", "--json").json["ok"] is False
