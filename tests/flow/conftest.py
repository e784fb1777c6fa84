"""Parts that most of these tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runtime.wiring import Parts
from tests.flow.embedded import embedded


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return embedded(tmp_path / "data")
