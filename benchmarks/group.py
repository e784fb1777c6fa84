"""`quiver up` as a process of its own, what its processes hold and use, and what waits in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx

from core.errors import Unavailable
from core.ports import Catalogue

QUIVER = (sys.executable, "-c", "from quiver.cli.app import main; main()")
PATIENCE = 180.0  # seconds until it answers: models are loaded
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc tells of it."""

    pid: int
    parent: int
    name: str  # of the command of quiver that it runs, or of its program
    rss: int  # bytes
    spent: float  # core seconds, those of its ended children included


def processes() -> dict[int, Process]:
    """All that run, by pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "stat").read_text().rpartition(")")[2].split()
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        if said[0] not in "ZX":
            spent = sum(map(int, said[11:15])) / TICK
            found[int(folder.name)] = Process(int(folder.name), int(said[1]), named(argv), int(said[21]) * PAGE, spent)
    return found


def spent_below(pid: int) -> float:
    """Core seconds that the children of a process used, and theirs; those that have ended count as their parents'."""
    table = processes()
    ours = {pid}
    while more := {each for each, p in table.items() if p.parent in ours} - ours:
        ours |= more
    return sum(table[each].spent for each in ours & table.keys() if each != pid)


def named(argv: list[str]) -> str:
    """What a command line runs: the command of quiver, or else the program."""
    said = argv[argv.index(QUIVER[-1]) + 1 :] if QUIVER[-1] in argv else [Path(argv[0]).name]
    return said[0] if said else ""


@dataclass(slots=True)
class Group:
    """A running group. `base` is the address of its API."""

    data: Path
    base: str
    process: subprocess.Popen[bytes]

    def services(self) -> dict[str, Process]:
        """Its processes by name: api, worker, store and their like, without the decoders that a worker runs."""
        ours = {p.name: p for p in processes().values() if p.parent == self.process.pid}
        return {("api" if name == "serve" else name): each for name, each in ours.items()}

    def spent(self) -> float:
        """Core seconds that all of it used, with what has ended."""
        return spent_below(self.process.pid) + processes()[self.process.pid].spent

    def kill_worker(self) -> bool:
        """Kill -9; whether there was one."""
        found = self.services().get("worker")
        if found is not None:
            os.kill(found.pid, signal.SIGKILL)
        return found is not None


@contextmanager
def group(folder: Path, log: Path) -> Iterator[Group]:
    """A group on a fresh folder that is ready; what it says goes to a file. Raises Unavailable."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUIVER_")}
    env = {**kept, "QUIVER_DATA": str(folder), "QUIVER_PORT": str(port)}
    with log.open("wb") as told:
        process = subprocess.Popen([*QUIVER, "up", "--workers", "1"], env=env, stdout=told, stderr=subprocess.STDOUT)
        made = Group(folder, f"http://127.0.0.1:{port}", process)
        try:
            _await(made, log)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def _await(made: Group, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"{made.base}/readyz", timeout=30).status_code == 200 and "worker" in made.services():
                return
        except httpx.HTTPError:
            time.sleep(0.2)
        if made.process.poll() is not None or time.monotonic() > until:
            raise Unavailable(f"`quiver up` did not become ready:\n{log.read_text()[-4000:]}")


@dataclass(slots=True)
class Watch:
    """Second by second: what waits, and how each service is."""

    seconds: list[float] = field(default_factory=list)
    oldest: list[float] = field(default_factory=list)  # seconds that the oldest waiting asset has waited
    services: list[dict[str, Process]] = field(default_factory=list)

    def look(self, made: Group, catalogue: Catalogue, collection: str, began: float) -> None:
        """Once."""
        self.seconds.append(time.monotonic() - began)
        self.oldest.append(max(0.0, catalogue.oldest_waiting(collection).total_seconds()))
        self.services.append(made.services())


@contextmanager
def watched(made: Group, catalogue: Catalogue, collection: str) -> Iterator[Watch]:
    """Looked at every second while the block runs."""
    watch, left, began = Watch(), Event(), time.monotonic()

    def run() -> None:
        while not left.wait(1.0):
            watch.look(made, catalogue, collection, began)

    watch.look(made, catalogue, collection, began)
    thread = Thread(target=run)
    thread.start()
    try:
        yield watch
    finally:
        left.set()
        thread.join()
        watch.look(made, catalogue, collection, began)
