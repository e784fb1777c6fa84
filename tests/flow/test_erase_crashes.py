"""A fault or a death at every call that an erasure makes, then upkeep: what was to go is gone, a receipt says so."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest

from core.erasing import broken
from core.errors import Fault, NoSuchAsset, StoreDown
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from tests.doubles import toy_parts
from tests.flow.promises import ME, check, upkeep
from tests.flow.test_crashes import add, wired
from workers.erase import Asked, erase

GONE = ("green.txt", "blue.txt")
ASKED = Asked(by="tests")
APART = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3  # calls between two that fail
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 11  # at each how-manyeth call a process is killed


def begin(parts: Parts) -> None:
    """Erase those that are still there."""
    there = {asset.external_id: asset.id for asset, _ in parts.catalogue.assets(ME, "c")}
    if ids := [there[name] for name in GONE if name in there]:
        erase(parts, ME, "c", ids=ids, asked=ASKED, patience=1.0)


def is_erased(parts: Parts, told: set[str]) -> None:
    """Both are in no place, those beside them are, and the chain of receipts holds and names both."""
    check(parts)
    left = {asset.external_id: asset.digest for asset, _ in parts.catalogue.assets(ME, "c")}
    assert set(left) == {"red.txt", "same.txt"}
    for name in GONE:
        try:
            parts.catalogue.asset(ME, "c", name)
        except NoSuchAsset:
            continue
        raise AssertionError(f"{name} is still there")
    files = {path.name for path in (parts.settings.data / "blobs").rglob("*") if path.is_file()}
    assert files == {str(digest) for digest in left.values()}, "bytes of nobody's are left"
    chain = parts.catalogue.erasures(ME)
    assert not broken(chain)
    assert {one["asset"] for each in chain for one in each.receipt["assets"]} == told
    for each in chain:
        said = each.receipt
        assert not any(index["found"] for index in said["indexes"])
        # The vectors to look for went with the points, where somebody died in between: then it says so.
        assert said["verified"] or (said["resumed"] and said["unchecked"])
    assert parts.catalogue.erasings() == []


def filled(parts: Parts, data: Path) -> None:
    """Four texts, of which two are to go; their ids are kept to be looked for in the receipts."""
    add(parts, data / "files")
    upkeep(parts)


def ids_of(parts: Parts) -> set[str]:
    return {str(asset.id) for asset, _ in parts.catalogue.assets(ME, "c") if asset.external_id in GONE}


def test_a_fault_at_any_call_of_an_erasure_is_followed_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("workers.erase", "workers.erasure_lease"):
        monkeypatch.setattr(f"{module}.LEASE", timedelta(seconds=0.2))

    def run(fail_at: int) -> bool:
        """An erasure whose nth call fails, and what follows; whether it came that far."""
        calls, armed = 0, False

        def before(name: str) -> None:
            nonlocal calls
            calls += armed
            if armed and calls == fail_at:
                raise StoreDown(f"{name}: the {calls}th call")

        data = tmp_path / f"at-{fail_at}"
        parts = wired(data, before, MemoryStore())
        filled(parts, data)
        told, armed = ids_of(parts), True
        with suppress(Fault):  # what the caller sees is not what is tested: what is left behind is
            begin(parts)
        came, armed = calls >= fail_at, False
        begin(parts)
        sleep(0.25)  # what was begun and not handed back is another's to finish once its lease is over
        upkeep(parts)
        is_erased(parts, told)
        parts.close()
        return came

    fail_at = 1
    while run(fail_at):
        fail_at += APART
    assert fail_at > 10, "an erasure made hardly any call: it was not tested"


def _die_at(data: Path, die_at: int) -> None:
    calls = 0

    def before(_name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    parts = wired(data, before)
    begin(parts)
    parts.close()


def test_a_process_killed_at_any_call_of_an_erasure_leaves_none_half_done(tmp_path: Path) -> None:
    """On the real engine, in a process of its own."""
    server = multiprocessing.get_context("forkserver")  # forks a process that never opened an index
    server.set_forkserver_preload(["tests.flow.test_erase_crashes", "core.stores.edge"])
    die_at, survived = 3, False
    while not survived:
        data = tmp_path / f"at-{die_at}"
        parts = toy_parts(data, batch=3)
        filled(parts, data)
        told = ids_of(parts)
        parts.close()
        child = server.Process(target=_die_at, args=(data, die_at))
        child.start()
        child.join(60)
        survived = child.exitcode == 0
        assert survived or child.exitcode == -signal.SIGKILL
        parts = toy_parts(data, batch=3)
        begin(parts)
        upkeep(parts)
        is_erased(parts, told)
        parts.close()
        die_at += EVERY
    assert die_at > 10
