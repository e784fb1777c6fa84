"""A chaos run: everything is killed while thousands of assets come in, and then every promise is checked.

python -m tests.slow.chaos --assets 2000: real workers, a clock, a store process, a broker and PostgreSQL. With
QDRANT_URL set, that Qdrant server takes the place of the store process.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

from core.encoders.registry import Encoders
from core.records import State
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from quiver import Quiver
from tests import launch
from tests.flow.promises import ME
from tests.slow import clients
from tests.slow.clients import COLLECTION, World
from tests.slow.corpus import CPU_SECONDS, MEMORY, make_corpus
from tests.slow.servers import Child, Claims, Postgres, postgres, running, until
from tests.slow.table import table
from tests.slow.verdict import Verdict, judge
from workers.broker import broker
from workers.collections import ensure
from workers.supervise import Service

WORKERS = 2
PEACE = 300.0  # seconds in which all must be done once nothing is killed any more
EVERY = 4.0  # seconds between kills of workers
DISASTERS = {"broker": 10.0, "postgres": 25.0, "store": 40.0}  # seconds after the start
AWAY = 2.0  # seconds that each of them stays away
SHORTEST = 60.0  # seconds of chaos


@dataclass
class Result:
    """What happened."""

    world: World
    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    died: int = 0  # processes that ended though nobody killed them
    postgres: str = ""
    chaos: float = 0.0  # seconds
    peace: float = 0.0  # seconds
    claims: int = 0
    claimed: int = 0  # different generations of assets


@dataclass
class Group:
    """The processes, by name."""

    children: dict[str, Child]
    postgres: Postgres
    result: Result

    def revive(self) -> None:
        """Start what is not there."""
        for child in self.children.values():
            if not child.alive:
                self.result.died += 1
                child.start()

    def kill(self, name: str, away: float) -> None:
        """Kill one without warning and start it again; none of its children may outlive it."""
        left = self.children[name].kill()
        time.sleep(away)
        if outlived := [pid for pid in left if running(pid)]:
            self.result.problems.append(f"processes {outlived} outlived {name}, whose children they were")
        self.children[name].start()

    def disaster(self, name: str) -> None:
        """Take away what all of them need."""
        if name == "postgres":
            self.postgres.stop()
            time.sleep(AWAY)
            self.postgres.start()
        elif name in self.children:
            self.kill(name, AWAY)
        self.result.kills[name] = self.result.kills.get(name, 0) + 1


class Forgetful(Child):
    """A broker that has lost all messages when it comes back."""

    def __init__(self, service: Service, log: Path, folder: Path) -> None:
        super().__init__(service, log)
        self._folder = folder

    def kill(self) -> list[int]:
        """See `Child`."""
        children = super().kill()
        for file in self._folder.rglob("*"):
            if file.is_file():
                file.unlink()
        return children


@contextmanager
def everything(folder: Path, result: Result, qdrant: str | None) -> Iterator[tuple[Group, dict[str, str]]]:
    """All processes, running; and the settings that they were started with."""
    with ExitStack() as left:
        database = postgres()
        left.callback(database.close)
        result.postgres = database.how
        held = broker(folder / "broker")
        settings = {
            "data": str(folder / "data"),
            "profile": launch.PROFILE,
            "database_url": database.url,
            "broker_url": held.env["QUIVER_BROKER_URL"],
            "sweep_seconds": "3",
            "stall_seconds": "30",
            "decode_memory_bytes": str(MEMORY),
            "decode_cpu_seconds": str(CPU_SECONDS),
            **({"qdrant_url": qdrant} if qdrant else {"store": "process"}),
        }
        env = {f"QUIVER_{name.upper()}": said for name, said in settings.items()}
        argv = [sys.executable, "-m", "tests.launch"]
        parts = parts_of(settings)
        parts.catalogue.collections()
        ensure(parts, COLLECTION)
        left.callback(parts.close)
        children: dict[str, Child] = {"broker": Forgetful(held, folder / "broker.log", folder / "broker")}
        if qdrant is None:
            store = Service(name="store", argv=[*argv, "store"], env=env, ready=parts.store_answers)
            children["store"] = Child(store, folder / "store.log")
        else:
            parts.store.drop(parts.catalogue.serving(COLLECTION).id)
            left.callback(lambda: parts.store.drop(parts.catalogue.serving(COLLECTION).id))
        for name in (*(f"worker-{number}" for number in range(WORKERS)), "clock"):
            said = ["worker", "--concurrency", "2"] if name != "clock" else ["clock"]
            children[name] = Child(Service(name=name, argv=[*argv, *said], env=env), folder / f"{name}.log")
        for child in children.values():
            left.callback(child.end)
            child.start()
        yield Group(children, database, result), settings


def parts_of(settings: dict[str, str]) -> Parts:
    """Parts of this process, as those of the workers."""
    return Parts(load_settings(**settings), Encoders({launch.PROFILE: launch.make}))


def havoc(group: Group, filled: Event, check: Callable[[], None], *, seed: int) -> None:
    """Kill a worker every few seconds and each of the others once, until all of it happened and all came in."""
    began, choice = time.monotonic(), random.Random(seed)
    coming = dict(DISASTERS)
    next_kill = EVERY
    while coming or not filled.is_set() or time.monotonic() - began < SHORTEST:
        time.sleep(0.1)
        check()
        group.revive()
        now = time.monotonic() - began
        for name in [name for name, at in coming.items() if at <= now]:
            group.disaster(name)
            del coming[name]
        if now >= next_kill:
            group.kill(f"worker-{choice.randrange(WORKERS)}", 0.5)
            next_kill = time.monotonic() - began + EVERY * choice.uniform(0.5, 1.5)


def outstanding(parts: Parts) -> int:
    """Assets that wait, are worked on, or are removed and not yet cleared."""
    counts = parts.catalogue.counts(ME, COLLECTION)
    return counts[State.PENDING] + counts[State.WORKING] + len(parts.catalogue.removed(limit=10))


def run(assets: int, folder: Path, *, seed: int = 0, qdrant: str | None = None) -> Result:
    """One run. Raises AssertionError where it cannot go on; broken promises are the result's `problems`."""
    world = World(make_corpus(folder / "files", assets))
    result = Result(world)
    stopping, filled = Event(), Event()
    with everything(folder, result, qdrant) as (group, settings), ExitStack() as doors:
        parts, *others = [doors.enter_context(_closing(parts_of(settings))) for _ in range(4)]
        watch = Claims(settings["database_url"])
        doors.callback(watch.close)
        began = time.monotonic()
        deadline = began + PEACE + assets / 5
        pool = doors.enter_context(ThreadPoolExecutor(3))
        doors.callback(stopping.set)
        fill, write, look = (Quiver(each) for each in others)
        work: list[Future[None]] = [
            pool.submit(clients.fill, fill, world, deadline),
            pool.submit(clients.write, write, world, stopping, filled, deadline, seed=seed),
            pool.submit(clients.look, look, world, stopping),
        ]
        work[0].add_done_callback(lambda _: filled.set())
        havoc(group, filled, partial(_check, work), seed=seed)
        stopping.set()
        for each in work[1:]:
            each.result()
        result.chaos = time.monotonic() - began
        group.revive()
        until("nothing is outstanding", lambda: outstanding(parts) == 0, PEACE, every=0.25)
        result.peace = time.monotonic() - began - result.chaos
        for name, child in group.children.items():
            if name.startswith("worker"):
                until(f"{name} is ready", partial(child.says, " ready."))  # before, it cannot hear
            if name not in ("store", "broker") and not child.stop():
                result.problems.append(f"{name} did not end when asked: see {child.log}")
        result.verdict = judge(Quiver(parts), parts, world)
        result.claims, result.claimed = watch.counted()
        for name in DISASTERS:
            if name in group.children and not group.children[name].kills:
                result.problems.append(f"{name} was never killed")
    result.kills["worker"] = sum(child.kills for name, child in group.children.items() if name.startswith("worker"))
    result.problems += world.problems + result.verdict.problems
    return result


def _check(work: list[Future[None]]) -> None:
    for each in work:
        if each.done():
            each.result()


@contextmanager
def _closing(parts: Parts) -> Iterator[Parts]:
    try:
        yield parts
    finally:
        parts.close()


def main() -> None:
    """Run, print the table; status 1 when a promise was broken."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--assets", type=int, default=2000)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    said = args.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="quiver-"))  # short: it holds sockets
    with ExitStack() as left:
        if not said.keep:
            left.callback(shutil.rmtree, folder, ignore_errors=True)
        result = run(said.assets, folder, seed=said.seed, qdrant=os.environ.get("QDRANT_URL"))
        sys.stdout.write(table(result) + "\n")
        if said.keep:
            sys.stdout.write(f"logs in {folder}\n")
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    main()
