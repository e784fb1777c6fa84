"""Toy parts served over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.runtime.wiring import Parts
from tests.doubles import toy_parts
from tests.httpd import client, serving


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """Closed after the server is."""
    made = toy_parts(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def base(parts: Parts) -> Iterator[str]:
    """Where they are served."""
    with serving(parts) as url:
        yield url


@pytest.fixture
def http(base: str) -> Iterator[httpx.Client]:
    """A person on this machine, without a key."""
    with client(base) as made:
        yield made
