"""A reindexing under traffic of processes that share a store process and a catalogue: as operators run it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from core.runtime.wiring import Parts
from core.stores.process import ProcessStore
from core.stores.spawn import spawn
from tests.flow.reindexed import SWITCHED, opened
from tests.flow.traffic import Seen, ask_all, change, check_end, fill, go_on, settled
from workers import rebuilding, reindex
from workers.collections import ensure

pytestmark = pytest.mark.slow
ROUNDS = 5
ASKERS, CHANGERS = 2, 2
ANSWERS = 15  # of each asker that are waited for after each step
PATIENCE = 60.0  # seconds for them


def _child(data: Path, seen: Seen, work: Callable[..., None], pause: float, stopping: Any, told: Any) -> None:
    """One of the processes. It joins the store process, tells how far it is, and at the end what it saw."""
    parts = opened(data, batch=16)
    assert isinstance(parts.store, ProcessStore)

    def until() -> bool:
        told.send(len(seen.answers) + len(seen.last))
        return bool(stopping.wait(pause))

    go_on(parts, seen, work, until)
    told.send(seen)
    parts.close()


@dataclass
class Crowd:
    """The processes, and what they have told."""

    pipes: list[Any]
    seen: list[Seen] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def listen(self) -> None:
        """Take in what was told."""
        for at, pipe in enumerate(self.pipes):
            with suppress(EOFError):  # it has ended
                while pipe.poll():
                    match pipe.recv():
                        case Seen() as seen:
                            self.seen.append(seen)
                        case count:
                            self.counts[at] = count

    def go_on(self) -> None:
        """Wait until each asker has asked some more."""
        self.listen()
        before, end = dict(self.counts), monotonic() + PATIENCE
        while any(self.counts.get(at, 0) < before.get(at, 0) + ANSWERS for at in range(ASKERS)):
            assert not self.seen, [seen.wrong for seen in self.seen]
            assert monotonic() < end, "somebody hangs"
            sleep(0.005)
            self.listen()


@contextmanager
def crowd(data: Path) -> Iterator[Crowd]:
    """Processes that ask and change; at the end all of them have ended and told what they saw."""
    server = multiprocessing.get_context("forkserver")  # forks a process that never opened an index
    server.set_forkserver_preload(["tests.slow.test_reindex_processes", "core.stores.process"])
    stopping, children, pipes = server.Event(), [], []
    for number in range(ASKERS + CHANGERS):
        mine, theirs = server.Pipe(duplex=False)
        work, pause = (ask_all, 0.0) if number < ASKERS else (change, 0.005)
        child = server.Process(target=_child, args=(data, Seen(str(number)), work, pause, stopping, theirs))
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(mine)
    made = Crowd(pipes)
    try:
        yield made
    finally:
        stopping.set()
        end = monotonic() + PATIENCE
        while any(child.is_alive() for child in children) and monotonic() < end:
            made.listen()  # a pipe that is full would hold its process up
            sleep(0.005)
        for child in children:
            child.kill()
            child.join()
        made.listen()
    assert [child.exitcode for child in children] == [0] * len(children)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with spawn(tmp_path / "data" / "edge"):
        made = opened(tmp_path / "data", batch=16)
        assert isinstance(made.store, ProcessStore)
        ensure(made, "c", {})
        fill(made)
        yield made
        made.close()


def test_processes_that_ask_and_change_meanwhile_notice_nothing(parts: Parts) -> None:
    switches: list[tuple[float, float, str]] = []  # from when to when, and whose model answers from then on

    def switch(step: Callable[[Parts, str], object], model: str) -> None:
        began = monotonic()
        step(parts, "c")
        switches.append((began, monotonic(), model))
        here.go_on()

    with crowd(parts.settings.data) as here:
        here.go_on()
        for _ in range(ROUNDS):
            reindex.start(parts, "c", SWITCHED)
            assert rebuilding.run(parts, "c").built
            settled(parts)
            switch(reindex.switch, "turned")
            switch(reindex.rollback, "toy")
            reindex.retire(parts, "c")
        here.go_on()
    check_end(parts, here.seen)
    answers = [answer for seen in here.seen for answer in seen.answers]
    assert len(answers) > 2 * ROUNDS * ASKERS * ANSWERS
    for began, ended, model in answers:  # one clock for all processes of a machine
        served = ["toy", *(to for _, done, to in switches if done < began)][-1]
        assert model in {served, *(to for at, done, to in switches if at <= ended and began <= done)}
