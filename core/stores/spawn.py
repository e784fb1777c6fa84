"""Starts a store process of our own: spawned, never forked, since a fork with an open shard hangs."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from core.errors import StoreDown
from core.stores.frames import fault_from, reading, socket_of

MODULE = "core.stores.serve"


class Spawned:
    """A store process that we started. Stop it, or use it in a `with`."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.path = path  # of its socket
        self.process = process

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def stop(self, timeout: float = 60.0) -> int:
        """End it as SIGTERM does: running calls finish, all is flushed; its exit status. Killed after the timeout."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._close()

    def kill(self) -> int:
        """End it at once, as a crash would."""
        self.process.kill()
        self._close()
        return self.process.wait()

    def _close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def __enter__(self) -> Spawned:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def spawn(
    root: Path,
    path: Path | None = None,
    *,
    optimize_after: int = 0,
    outlive: bool = False,
    timeout: float = 60.0,
) -> Spawned:
    """Start a store process for a folder and wait until it serves. Raises StoreLocked, StoreDown.

    It has a session of its own: an interrupt at the terminal is for us, and we stop it when we are done. It ends when
    we do, however that is, unless it is to outlive us: its standard input is a pipe that only we hold.
    """
    path = path or socket_of(root)
    home = str(Path(__file__).parents[2])
    process = subprocess.Popen(  # noqa: S603  # our own module
        [
            *(sys.executable, "-m", MODULE, "--root", str(root), "--socket", str(path)),
            *("--optimize-after", str(optimize_after), *([] if outlive else ["--while-stdin"])),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))},
        stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    spawned = Spawned(process, path)
    assert process.stdout is not None
    try:
        with process.stdout as told:
            _hear(told, timeout)
    except BaseException:
        spawned.kill()
        raise
    return spawned


def _hear(told: IO[bytes], timeout: float) -> None:
    """Wait for the one line that it says. Raises the fault that it names, or StoreDown."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(told, selectors.EVENT_READ)
        if not waiting.select(timeout):
            raise StoreDown(f"the store process did not begin within {timeout:g} s: see what it logged")
    line = told.readline()
    if not line:
        raise StoreDown("the store process ended before it began: see what it logged")
    with reading():
        said = json.loads(line)
        if "fault" in said:
            raise fault_from(said)
