"""A fault or a death at every call that indexing, replacing and removing make, then upkeep: the promise holds."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.catalogue.sql import SqlCatalogue
from core.errors import Fault, StoreDown
from core.points import Points
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from ingest.sources.paths import items
from tests.contract.catalogues import empty
from tests.doubles import Flaky, toy_parts
from tests.flow.promises import ME, check, upkeep
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.reconcile import reconcile
from workers.removal import remove

TEXTS = {"red.txt": "red red", "green.txt": "green", "blue.txt": "a blue cat", "same.txt": "green"}


def write(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def take_in(parts: Parts, folder: Path) -> None:
    made = ensure(parts, "c")
    register(parts, ME, made, items([folder]), lambda collection, ids: _index(parts, collection, ids))


def _index(parts: Parts, collection: str, ids: Any) -> None:
    index_batch(parts, collection, ids)


def add(parts: Parts, folder: Path) -> None:
    take_in(parts, write(folder, TEXTS))


def replace(parts: Parts, folder: Path) -> None:
    take_in(parts, write(folder, {"red.txt": "blue now", "green.txt": "red " * 900}))


def replace_by_less(parts: Parts, folder: Path) -> None:
    take_in(parts, write(folder, {"green.txt": "red"}))


def take_out(parts: Parts, folder: Path) -> None:
    ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c") if asset.external_id in ("green.txt", "blue.txt")]
    remove(parts, ME, "c", ids)


def mend(parts: Parts, _folder: Path) -> None:
    """Damage the index behind the catalogue's back, then reconcile."""
    index = parts.catalogue.serving("c")
    known = [asset for asset, _ in parts.catalogue.assets(ME, "c")]
    points = parts.store.of_assets(index, [known[0].id])
    strays = [dict(point.payload) | {"asset": str(UUID(int=7))} for point in points]
    parts.store.upsert(index, Points([uuid4() for _ in strays], strays, {}))
    parts.store.forget(index, {known[0].id: None})
    reconcile(parts, "c", repair=True)


STEPS: list[Callable[[Parts, Path], None]] = [add, replace, replace_by_less, take_out, add, mend]
APART = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3  # calls between two that fail
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 11  # at each how-manyeth call a process is killed


def wired(data: Path, before: Callable[[str], None], store: Any = None, **settings: Any) -> Parts:
    parts = toy_parts(data, batch=3, **settings)
    store = store if store is not None else parts.store
    for name in ("catalogue", "blobs"):
        parts.__dict__[name] = Flaky(getattr(parts, name), before)
    parts.__dict__["store"] = Flaky(store, before)
    return parts


@pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda i: f"{i}-{STEPS[i].__name__}")
def test_a_fault_at_any_call_loses_nothing(step: int, tmp_path: Path) -> None:
    def run(fail_at: int) -> bool:
        """The story up to `step`, whose nth call fails; whether it came that far."""
        calls = 0
        armed = False

        def before(name: str) -> None:
            nonlocal calls
            calls += armed
            if armed and calls == fail_at:
                raise StoreDown(f"{name}: the {calls}th call")

        data = tmp_path / f"at-{fail_at}"
        parts = wired(data, before, MemoryStore())
        for earlier in STEPS[:step]:
            earlier(parts, data / "files")
            upkeep(parts)
        if step:
            check(parts)
        armed = True
        with suppress(Fault):  # what the caller sees is not what is tested: what is left behind is
            STEPS[step](parts, data / "files")
        armed = False
        STEPS[step](parts, data / "files")
        upkeep(parts)
        check(parts)
        parts.close()
        return calls >= fail_at

    fail_at = 1 + step % APART
    while run(fail_at):
        fail_at += APART
    assert fail_at > 5, "the step made hardly any call: it was not tested"


def _die_at(data: Path, step: int, die_at: int, database_url: str | None) -> None:
    calls = 0

    def before(_name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    parts = wired(data, before, database_url=database_url)
    STEPS[step](parts, data / "files")
    parts.close()


@pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda i: f"{i}-{STEPS[i].__name__}")
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_process_killed_at_any_call_loses_nothing_and_doubles_nothing(
    database: str, step: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """On the real engine and a real database, in a process of its own."""
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    server = multiprocessing.get_context("forkserver")  # forks a process that never opened an index
    server.set_forkserver_preload(["tests.flow.test_crashes", "core.stores.edge"])
    die_at, survived = 2 + step % EVERY, False
    while not survived:
        data = tmp_path / f"at-{die_at}"
        parts = toy_parts(data, batch=3, database_url=url)
        assert isinstance(parts.catalogue, SqlCatalogue)
        empty(parts.catalogue)
        for earlier in STEPS[:step]:
            earlier(parts, data / "files")
        parts.close()
        child = server.Process(target=_die_at, args=(data, step, die_at, url))
        child.start()
        child.join(60)
        survived = child.exitcode == 0
        assert survived or child.exitcode == -signal.SIGKILL
        parts = toy_parts(data, batch=3, database_url=url)
        for index in parts.catalogue.indexes("c"):  # none, when it died between making the collection and its index
            parts.store.create(index)
        STEPS[step](parts, data / "files")
        upkeep(parts)
        check(parts)
        parts.close()
        die_at += EVERY
    assert die_at > 8
