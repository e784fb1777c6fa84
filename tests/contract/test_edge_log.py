"""What was flushed survives a power cut: the log on the disk alone brings it back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import UUID

import pytest

from core.stores import edge_log
from core.stores.edge import EdgeStore
from core.types import AssetId
from tests.contract.test_edge_store import INDEX, put


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> dict[Path, bytes]:
    """What is on the disk for certain: the bytes of each file when it was last synced."""
    disk: dict[Path, bytes] = {}
    real = os.fdatasync

    def fdatasync(handle: int) -> None:
        real(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_file():
            disk[path] = path.read_bytes()

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return disk


def after_power_cut(root: Path, made: Path, disk: dict[Path, bytes], into: Path) -> EdgeStore:
    """A store on what the disk held: the engine's own files as they were when the index was made, and what was synced
    since."""
    shutil.copytree(made, into)
    for log in into.rglob("wal"):
        for left in log.glob("*-*"):
            left.unlink()
    for path, held in disk.items():
        place = into / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(held)
    return EdgeStore(into)


def test_what_was_flushed_is_there_after_a_power_cut(tmp_path: Path, synced: dict[Path, bytes]) -> None:
    root = tmp_path / "store"
    store = EdgeStore(root)
    store.create(INDEX)
    shutil.copytree(root, made := tmp_path / "made")
    for turn in range(5):
        put(store, *range(1 + 20 * turn, 21 + 20 * turn))
        store.flush(INDEX)
    store.forget(INDEX, {AssetId(UUID(int=7)): None})
    store.flush(INDEX)
    put(store, 1000)  # never flushed: nobody was told that it is there
    again = after_power_cut(root, made, dict(synced), tmp_path / "again")
    there = {UUID(point.payload["asset"]).int for point in again.scroll(INDEX)}
    assert there == set(range(1, 101)) - {7}
    again.close()
    store.close()


def test_a_full_file_of_the_log_is_synced_once_more_and_then_left_alone(
    tmp_path: Path, synced: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "open-1").write_bytes(b"a")
    log = edge_log.Log(tmp_path)
    assert not log.sync()
    (tmp_path / "wal" / "open-1").write_bytes(b"ab")
    (tmp_path / "wal" / "open-1").rename(tmp_path / "wal" / "closed-9")
    (tmp_path / "wal" / "open-2").write_bytes(b"c")
    log.sync()
    assert synced[tmp_path / "wal" / "closed-9"] == b"ab"
    synced.clear()
    log.sync()
    assert set(synced) == {tmp_path / "wal" / "open-2"}
    monkeypatch.setattr(edge_log, "LONG", 0)
    assert log.sync(), "the engine is to flush, so that it can be shortened"


def test_a_long_log_is_shortened_by_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_log, "LONG", -1)
    root = tmp_path / "store"
    store = EdgeStore(root)
    store.create(INDEX)
    shutil.copytree(root, tmp_path / "made")
    put(store, 1, 2, 3)
    store.flush(INDEX)
    for log in root.rglob("wal"):
        shutil.copytree(root, tmp_path / "again")
        shutil.rmtree(tmp_path / "again" / log.relative_to(root))  # what was not flushed would be in it alone
    again = EdgeStore(tmp_path / "again")
    assert len(again.scroll(INDEX)) == 3
    again.close()
    store.close()
