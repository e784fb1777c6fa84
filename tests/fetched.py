"""Fetching from this machine, as tests do it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from core.errors import Fault
from ingest.limits import Limits
from ingest.sources.fetch import fetch
from ingest.sources.url import FetchPolicy

HERE = (ip_network("127.0.0.1/32"),)
ALL = Limits()
SECRET = b"the body of an answer"


def policy(seconds: float = 20, **more: Any) -> FetchPolicy:
    return FetchPolicy(networks=HERE, seconds=seconds, **more)


def got(url: str, allowed: FetchPolicy | None = None, limits: Limits = ALL, **more: Any) -> bytes:
    with fetch(url, policy=allowed or policy(), limits=limits, **more) as source:
        return source.read()


def fault(url: str, allowed: FetchPolicy | None = None, limits: Limits = ALL, **more: Any) -> Fault:
    """What fetching raises; it never holds what a server said."""
    with pytest.raises(Fault) as caught:
        got(url, allowed, limits, **more)
    assert SECRET.decode() not in str(caught.value)
    return caught.value
