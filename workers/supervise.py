"""Processes run as one group: started in order, started again when they die, ended in the opposite order."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic

from core.errors import StoreLocked, Unavailable

log = logging.getLogger(__name__)
LONGEST_PAUSE = 30.0  # seconds between tries to start what dies at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of the group."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None  # asked until it says yes before the next is started
    grace: float = 60.0  # seconds to end after SIGTERM


class _Running:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.again_at = 0.0
        self.started_at = 0.0

    def start(self) -> None:
        self.started_at = monotonic()
        # A session of its own: Ctrl-C reaches us alone, and we end the group in order.
        self.process = subprocess.Popen(  # noqa: S603  # our own commands
            list(self.service.argv), env={**os.environ, **self.service.env}, start_new_session=True
        )

    def look(self) -> None:
        """Start it again if it died; later each time, as long as it dies young."""
        if self.process is None:
            if monotonic() >= self.again_at:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        young = monotonic() - self.started_at < 60
        self.deaths = self.deaths + 1 if young else 1
        pause = min(LONGEST_PAUSE, 0.25 * 2**self.deaths)
        log.warning("%s ended with status %d: started again in %.1f s", self.service.name, status, pause)
        self.process, self.again_at = None, monotonic() + pause

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.service.grace)
        except subprocess.TimeoutExpired:
            log.warning("%s did not end in %.0f s: killed", self.service.name, self.service.grace)
            self.process.kill()
            self.process.wait()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Be the one group of a folder. Raises StoreLocked, naming the process of the other."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StoreLocked(
                f"process {file.read().strip()} runs a group in {lock.parent}: end it, or use another folder"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def supervise(
    services: Sequence[Service], stopping: Event, *, on_ready: Callable[[], None], patience: float = 60.0
) -> None:
    """Run the group until told to stop. Raises Unavailable when one runs already or does not become ready."""
    running: list[_Running] = []
    try:
        for service in services:
            if stopping.is_set():
                break
            if service.ready is not None and service.ready():
                raise Unavailable(f"a {service.name} runs here already, which nobody supervises: end it, or use it")
            one = _Running(service)
            running.append(one)
            one.start()
            _await(one, stopping, patience)
        if not stopping.is_set():
            on_ready()
        while not stopping.wait(0.2):
            for one in running:
                one.look()
    finally:
        for one in reversed(running):
            one.stop()


def _await(one: _Running, stopping: Event, patience: float) -> None:
    until = monotonic() + patience
    while not stopping.is_set():
        if one.process is not None and one.process.poll() is not None:
            raise Unavailable(f"{one.service.name} ended at once, with status {one.process.returncode}: see above")
        if one.service.ready is None or one.service.ready():
            return
        if monotonic() > until:
            raise Unavailable(f"{one.service.name} is not ready after {patience:.0f} s")
        stopping.wait(0.05)
