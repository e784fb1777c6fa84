"""Everything dies while 2,000 assets come in: none is lost, none doubled, every bad one is named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.slow.chaos import run
from tests.slow.table import table

SERVER = os.environ.get("QUIVER_TEST_QDRANT") or os.environ.get("QDRANT_URL")  # read before conftest hides it


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_while_everything_dies(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:  # short: it holds sockets
        result = run(2000, Path(folder), qdrant=SERVER)
    said = table(result)
    with capsys.disabled():
        os.write(1, f"\n{said}\n".encode())
    assert not result.problems, said
