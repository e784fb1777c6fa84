"""Parts that most of these tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runtime.wiring import Parts
from tests.flow import reindexed
from tests.flow.embedded import embedded


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return embedded(tmp_path / "data")


@pytest.fixture
def coloured(tmp_path: Path) -> Parts:
    """Of a collection with a few colours, which may be reindexed."""
    made = reindexed.embedded(tmp_path / "data")
    reindexed.put(made, reindexed.COLOURS)
    return made


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> reindexed.Turned:
    """The new model, that fails on dogs, or on what a test says."""
    monkeypatch.setattr(reindexed.TURNED, "fails", "dog")
    return reindexed.TURNED
