"""Backups and restores that are killed at any call leave what was there, and end well when they are run again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from core.runtime.wiring import Parts
from ingest.sources.manifest import Inline
from quiver import Quiver
from tests.doubles import Flaky, toy_parts
from tests.flow.promises import ME, check
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.reconcile import reconcile

COUNT = 6


def fill(parts: Parts, word: str) -> None:
    items = [Inline(f"t{at}", f"{word} {at}") for at in range(COUNT)]
    register(parts, ME, ensure(parts, "c"), items, lambda name, ids: _index(parts, name, ids))


def _index(parts: Parts, name: str, ids: Any) -> None:
    index_batch(parts, name, ids)


def _die(data: Path, place: Path, what: str, die_at: int) -> None:
    calls = 0

    def before(_name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    parts = toy_parts(data, batch=3)
    for name in ("catalogue", "blobs", "store"):
        parts.__dict__[name] = Flaky(getattr(parts, name), before)
    with Quiver(parts) as quiver:
        if what == "backup":
            quiver.backup(place)
        else:
            quiver.restore(place)


def killed(data: Path, place: Path, what: str, die_at: int) -> bool:
    """Whether it was, in a process of its own, before its nth call of a part; it may have ended before."""
    server = multiprocessing.get_context("forkserver")  # forks a process that never opened an index
    server.set_forkserver_preload(["tests.integration.test_killed_backup", "core.stores.edge"])
    child = server.Process(target=_die, args=(data, place, what, die_at))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 5


@pytest.mark.parametrize("name", ["backup", pytest.param("backup.tar", marks=pytest.mark.slow)])
def test_a_backup_that_is_killed_leaves_the_last_one_whole(tmp_path: Path, name: str) -> None:
    data, place = tmp_path / "from", tmp_path / name
    with Quiver(toy_parts(data)) as quiver:
        fill(quiver._parts, "red")
        quiver.backup(place)
        before = quiver.verify(place)
        fill(quiver._parts, "green")
    die_at = 2
    while killed(data, place, "backup", die_at):
        with Quiver(toy_parts(data)) as quiver:
            assert quiver.verify(place) == before
        die_at += EVERY
    assert die_at > 2 + EVERY, "it made hardly any call: it was not tested"
    with Quiver(toy_parts(data)) as quiver, Quiver(toy_parts(tmp_path / "to")) as there:
        assert quiver.verify(place) != before
        there.restore(place)
        assert there.content("c", "t1") == b"green 1"
        check(there._parts)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_restore_that_is_killed_goes_on(tmp_path: Path) -> None:
    data, place = tmp_path / "from", tmp_path / "backup"
    with Quiver(toy_parts(data)) as quiver:
        fill(quiver._parts, "red")
        quiver.backup(place)
    die_at, survived = 2, False
    while not survived:
        to = tmp_path / f"at-{die_at}"
        survived = not killed(to, place, "restore", die_at)
        with Quiver(toy_parts(to)) as there:
            if not survived and ((to / "restoring.json").exists() or not there.status()):
                there.restore(place)
            assert there.content("c", "t1") == b"red 1"
            assert not reconcile(there._parts, "c").counts
            check(there._parts)
        assert not [path.name for path in to.iterdir() if path.name == "restoring.json"]
        die_at += EVERY
    assert die_at > 2 + 2 * EVERY
