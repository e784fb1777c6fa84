"""A tiny checkpoint of each family, made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.encoders import fast, models
from core.encoders.machine import Machine
from core.encoders.resizing import by_pillow
from tests.checkpoints import ALL, build, encoder

SLOW = Machine("cpu", ())


@pytest.fixture(autouse=True, scope="session")
def exact() -> Iterator[None]:
    """Rows are those of the reference; `test_fast` looks at what is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "machine", lambda: SLOW)
        patch.setattr(models, "resized", by_pillow)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: build(root / family, family) for family in ALL}


@pytest.fixture(scope="session")
def loaded(made: dict[str, Path], exact: None) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "machine", lambda: SLOW)  # whoever asks first
        made_of = {family: encoder(folder) for family, folder in made.items()}
        for one in made_of.values():
            one._inner._loaded()
    return made_of


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path):
    return lambda family, name="copy": Path(shutil.copytree(made[family], tmp_path / name / family))
