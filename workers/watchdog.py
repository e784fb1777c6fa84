"""A worker that stopped consuming looks alive: messages wait, no task runs, nothing is logged. It is ended.

Seen after reconnects to Redis. A supervisor, `quiver up` or a container's restart policy, starts another; what the dead
one held is found by its leases.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from celery import Celery
from celery.signals import task_postrun, task_prerun
from kombu.exceptions import OperationalError

from workers.app import LONGEST, waiting

log = logging.getLogger(__name__)
STATUS = 75  # EX_TEMPFAIL: try again


class Watchdog:
    """Ends the process when messages wait and no task has run for `stall` seconds."""

    def __init__(self, waiting: Callable[[], int], *, stall: float, end: Callable[[int], object] = os._exit) -> None:
        self._waiting, self._stall, self._end = waiting, stall, end
        self._running = 0
        self._last = monotonic()
        self._lock = threading.Lock()

    def began(self, **_: object) -> None:
        """A task was received."""
        with self._lock:
            self._running += 1
            self._last = monotonic()

    def ended(self, **_: object) -> None:
        """A task is done."""
        with self._lock:
            self._running -= 1
            self._last = monotonic()

    def look(self) -> bool:
        """Whether the worker has stalled; then the process ends."""
        with self._lock:
            running, idle = self._running, monotonic() - self._last
        if running and idle >= LONGEST:  # threads cannot be interrupted: no other limit of time holds for them
            log.critical("no task has begun or ended for %.0f s: ending, to be started again", idle)
            self._end(STATUS)
            return True
        if running or idle < self._stall:
            return False
        try:
            waiting = self._waiting()
        except (OperationalError, OSError):
            # The broker is away: then nobody can consume, and Celery itself tries to come back.
            with self._lock:
                self._last = monotonic()
            return False
        if not waiting:
            return False
        log.critical("%d messages wait and no task has run for %.0f s: ending, to be started again", waiting, idle)
        self._end(STATUS)
        return True


def watch(app: Celery, queues: Sequence[str], *, stall: float) -> Watchdog:
    """A watchdog on a thread of this worker process."""

    dog = Watchdog(lambda: sum(waiting(app, queue) for queue in queues), stall=stall)
    task_prerun.connect(dog.began, weak=False)
    task_postrun.connect(dog.ended, weak=False)

    def run() -> None:
        pause = threading.Event()
        while not pause.wait(stall / 4):
            dog.look()

    threading.Thread(target=run, name="watchdog", daemon=True).start()
    return dog
