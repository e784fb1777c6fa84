"""Removing what a worker is at: on return it is found no more, whatever the worker does then."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, Timer

import pytest

from core.errors import Unavailable
from core.points import Scope
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from ingest.sources.manifest import Inline
from tests.doubles import Flaky, toy_parts
from tests.flow.promises import ME, check, upkeep
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.removal import remove


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = toy_parts(tmp_path / "data")
    made.__dict__["store"] = MemoryStore()
    yield made
    made.close()


def put(parts: Parts, text: str) -> None:
    register(parts, ME, ensure(parts, "c"), [Inline("a", text)], lambda *_: None)


def index(parts: Parts) -> None:
    index_batch(parts, "c", [parts.catalogue.asset(ME, "c", "a").id])


def found(parts: Parts) -> int:
    return parts.store.count(parts.catalogue.serving("c"), Scope(tenant=ME))


def test_a_removal_waits_for_the_worker_that_is_writing(parts: Parts) -> None:
    put(parts, "red")
    writing, go_on = Event(), Event()

    def before(call: str) -> None:
        if call == "upsert":
            writing.set()
            assert go_on.wait(10)

    parts.__dict__["store"] = Flaky(parts.store, before)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(index, parts)
        assert writing.wait(10)
        Timer(0.3, go_on.set).start()
        assert remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "a").id], patience=10) == 1
        assert found(parts) == 0
        work.result()
    assert found(parts) == 0
    assert parts.catalogue.removed(limit=1) == [], "it was purged, too"
    check(parts)


def test_a_removal_forgets_at_once_what_a_worker_is_about_to_replace(parts: Parts) -> None:
    put(parts, "red")
    index(parts)
    put(parts, "blue")
    asset = parts.catalogue.asset(ME, "c", "a")
    parts.catalogue.claim("c", worker="elsewhere/1/1/1", lease=timedelta(hours=1), limit=1)
    assert found(parts) == 1
    assert remove(parts, ME, "c", [asset.id]) == 1
    assert found(parts) == 0


def test_a_removal_that_cannot_be_sure_says_so(parts: Parts) -> None:
    put(parts, "red")
    asset = parts.catalogue.asset(ME, "c", "a")
    parts.catalogue.claim("c", worker="elsewhere/1/1/1", lease=timedelta(hours=1), limit=1)
    with pytest.raises(Unavailable, match=r"a worker is still at 1 of them \(a\)"):
        remove(parts, ME, "c", [asset.id], patience=0.1)
    upkeep(parts)
    assert parts.catalogue.removed(limit=1) == []


def test_a_removal_does_not_wait_for_a_worker_that_died(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    put(parts, "red")
    asset = parts.catalogue.asset(ME, "c", "a")
    parts.catalogue.claim("c", worker="here/1/1/1", lease=timedelta(hours=1), limit=1)
    monkeypatch.setattr("workers.identity.is_dead", lambda worker: worker == "here/1/1/1")
    assert remove(parts, ME, "c", [asset.id], patience=10) == 1
    assert parts.catalogue.removed(limit=1) == []
