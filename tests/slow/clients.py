"""The clients of a chaos run: one fills, one adds, replaces and removes, one searches. Each has a door of its own."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

from core.errors import Unavailable
from quiver import Quiver
from quiver.reports import IngestReport
from tests.doubles import COLOURS
from tests.slow.corpus import Corpus, picture, text

COLLECTION = "chaos"
T = TypeVar("T")


@dataclass
class World:
    """What the clients were promised so far."""

    corpus: Corpus
    digests: dict[str, str] = field(default_factory=dict)  # of what is there, by external id
    removed: dict[str, int] = field(default_factory=dict)  # removals that returned, by external id: the nth of all
    absent: set[str] = field(default_factory=set)  # those, and those that were removed though the removal failed first
    removals: int = 0
    lock: Lock = field(default_factory=Lock)
    problems: list[str] = field(default_factory=list)
    waited: Counter[str] = field(default_factory=Counter)  # faults that clients were told to try again after
    report: IngestReport | None = None
    done: Counter[str] = field(default_factory=Counter)
    searches: Counter[str] = field(default_factory=Counter)

    def gone(self) -> dict[str, int]:
        """A copy of what was removed and not brought back."""
        with self.lock:
            return dict(self.removed)


def stubborn(world: World, work: Callable[[], T], deadline: float) -> T:
    """Try again as long as what is needed is away."""
    while True:
        try:
            return work()
        except Unavailable as fault:
            world.waited[fault.kind] += 1
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def fill(quiver: Quiver, world: World, deadline: float) -> None:
    """Take the corpus in, from the start again after every fault, until one run says that it was whole."""
    world.report = stubborn(
        world,
        lambda: quiver.ingest(world.corpus.folder, collection=COLLECTION),
        deadline,
    )


def write(quiver: Quiver, world: World, stopping: Event, filled: Event, deadline: float, *, seed: int) -> None:
    """Add, replace and remove one asset after the other; those of the corpus too once they are all in."""
    choice = random.Random(seed)
    folder = world.corpus.folder.parent / "live"
    folder.mkdir()
    number = 0
    while not stopping.wait(0.05):
        known = sorted(world.digests)
        names = [*known, *choice.sample(world.corpus.good, 20)] if filled.is_set() else known
        number += 1
        match choice.choices(("add", "replace", "remove", "return"), (4, 3, 3, 1))[0]:
            case "add":
                name = f"live-{number:05}{'.txt' if number % 2 else '.png'}"
            case "replace" if names:
                name = choice.choice(names)
            case "remove" if names:
                name = choice.choice(names)
                if name not in world.absent:
                    _remove(quiver, world, name, deadline)
                continue
            case "return" if world.absent:
                name = choice.choice(sorted(world.absent))
            case _:
                continue
        _put(quiver, world, folder / name, number, deadline)


def _put(quiver: Quiver, world: World, path: Path, number: int, deadline: float) -> None:
    data = text(number, number) if path.suffix == ".txt" else picture(number)
    path.write_bytes(data)
    with world.lock:
        world.removed.pop(path.name, None)
    world.absent.discard(path.name)
    report = stubborn(world, lambda: quiver.ingest(path, collection=COLLECTION), deadline)
    if report.refused:
        world.problems.append(f"a good file was refused: {report.refused}")
    world.done["replaced" if path.name in world.digests else "added"] += 1
    world.digests[path.name] = hashlib.sha256(data).hexdigest()


def _remove(quiver: Quiver, world: World, name: str, deadline: float) -> None:
    said = stubborn(world, lambda: quiver.remove(COLLECTION, name), deadline)
    world.digests.pop(name, None)
    world.absent.add(name)
    world.done["removed"] += 1
    if not said.removed:
        return  # an earlier try removed it, and said that it could not forget it yet
    with world.lock:
        world.removals += 1
        world.removed[name] = world.removals


def look(quiver: Quiver, world: World, stopping: Event) -> None:
    """Search again and again: each answer is right, or the search says what is away."""
    number = 0
    while not stopping.wait(0.02):
        number += 1
        before = world.gone()
        try:
            if number % 3:
                answer = quiver.search(COLLECTION, f"a {COLOURS[number % 3]} cat", limit=100, exact=number % 2 == 0)
            else:
                answer = quiver.search(COLLECTION, image=picture(number), limit=100)
        except Unavailable as fault:
            world.searches[fault.kind] += 1
            continue
        world.searches["ok"] += 1
        after = world.gone()
        names = [hit.external_id for hit in answer.hits]
        back = [name for name in names if name in before and before[name] == after.get(name)]
        bad = [name for name in names if name in world.corpus.bad]
        if back or bad or len(set(names)) < len(names):
            world.searches["wrong"] += 1
            world.problems.append(f"search {number}: removed and found {back}, bad and found {bad}, of {len(names)}")
