"""A tiny checkpoint of each family, made once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import ALL, build, encoder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: build(root / family, family) for family in ALL}


@pytest.fixture(scope="session")
def loaded(made: dict[str, Path]) -> dict[str, Any]:
    return {family: encoder(folder) for family, folder in made.items()}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path):
    return lambda family, name="copy": Path(shutil.copytree(made[family], tmp_path / name / family))
