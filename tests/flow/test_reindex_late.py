"""Who read which index serves, and comes to write when another does and that one was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.runtime.wiring import Parts
from tests.flow.promises import ME
from tests.flow.reindexed import check_all, embedded, names, put, switched
from workers import reindex
from workers.removal import remove


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = embedded(tmp_path / "data")
    put(made, {"a": "cat cat cat", "b": "dog dog dog"})
    return made


@contextmanager
def behind_the_times(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Who asks which indexes there are is told of one that served and is there no more: its id."""
    switched(parts)
    then = parts.catalogue.indexes("c")
    dropped = parts.catalogue.serving("c").id
    reindex.rollback(parts, "c")
    assert reindex.retire(parts, "c") == [dropped]
    with monkeypatch.context() as patched:
        patched.setattr(parts.catalogue, "indexes", lambda _: then)
        yield dropped


def write(parts: Parts) -> None:
    put(parts, {"c": "rocket rocket", "a": "rocket cat"})


def take_out(parts: Parts) -> None:
    ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c", limit=9) if asset.external_id == "b"]
    assert remove(parts, ME, "c", ids, patience=5) == 1


@pytest.mark.parametrize(("change", "there"), [(write, {"a", "b", "c"}), (take_out, {"a"})])
def test_who_was_behind_loses_nothing_and_brings_no_index_back(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Parts], None], there: set[str]
) -> None:
    with behind_the_times(parts, monkeypatch) as dropped:
        change(parts)
    assert set(names(parts, "cat")) == there
    assert dropped not in parts.store.indexes()
    check_all(parts)
