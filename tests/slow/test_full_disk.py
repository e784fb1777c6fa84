"""A disk that is full while an index is built: a real one, of a few hundred megabytes in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StoreDown
from core.records import IndexState, State
from core.stores.spawn import spawn
from tests.flow.promises import ME
from tests.flow.reindexed import SWITCHED, check_all, names, opened, put, state_of
from workers import rebuilding, reindex
from workers.collections import ensure
from workers.verify import verify

pytestmark = pytest.mark.slow
LEFT = 140  # MiB when the build begins: what a write leaves, and some more


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fills_up_stops_the_build_and_kills_nobody(disk: Path) -> None:
    with spawn(disk / "data" / "edge") as store:
        parts = opened(disk / "data", batch=32, lanes=1)
        ensure(parts, "c", {})
        put(parts, {f"a{n}": f"red green {n} {'word ' * 150}" for n in range(400)})
        held = os.statvfs(disk)
        (disk / "filler").write_bytes(bytes(held.f_bavail * held.f_frsize - (LEFT << 20)))
        reindex.start(parts, "c", SWITCHED)
        with pytest.raises(StoreDown, match="no space left to write points"):
            rebuilding.run(parts, "c")
        assert store.process.poll() is None
        assert names(parts, "red")
        assert state_of(parts) == [IndexState.SERVING, IndexState.BUILDING]
        with pytest.raises(StoreDown, match="make room"):
            put(parts, {"late": "blue"})
        (disk / "filler").unlink()
        assert rebuilding.run(parts, "c").built
        assert verify(parts, "c", sample=4).passed
        reindex.switch(parts, "c")
        assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 401, "what waited came in"
        check_all(parts)
        parts.close()
