"""`quiver worker --embedded`: the same work without a broker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from core.points import Scope
from core.records import State
from core.types import Tenant
from ingest.sources.manifest import Inline
from tests.doubles import toy_parts
from workers.collections import ensure
from workers.intake import register

ME = Tenant("default")
DEADLINE = 60.0  # seconds


def test_an_embedded_worker_indexes_what_others_register_until_it_is_told_to_stop(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    made = ensure(parts, "c")
    env = {**os.environ, "QUIVER_DATA": str(tmp_path), "QUIVER_PROFILE": "toy"}
    process = subprocess.Popen([sys.executable, "-m", "tests.launch", "worker", "--embedded"], env=env)
    try:
        for begin in (0, 20):  # what comes while it runs is found too
            items = [Inline(str(begin + i), "red") for i in range(20)]
            register(parts, ME, made, items, lambda _collection, _ids: None)
            until = time.monotonic() + DEADLINE
            while parts.catalogue.counts(ME, "c")[State.INDEXED] < begin + 20:
                assert process.poll() is None
                assert time.monotonic() < until, parts.catalogue.counts(ME, "c")
                time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
    assert parts.store.count(parts.catalogue.serving("c"), Scope(tenant=ME)) == 40
    assert parts.catalogue.holders() == []
    parts.close()
