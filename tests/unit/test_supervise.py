"""A group of processes comes up in order, is kept up, and goes down in the opposite order, whatever they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest

from core.errors import StoreLocked, Unavailable
from workers.supervise import Service, alone, supervise

LASTS = "trap 'echo -{0} >> {1}; exit' TERM; echo +{0} >> {1}; while :; do sleep 0.02; done"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def service(name: str, log: Path, script: str = LASTS, *, grace: float = 10, waits: bool = True) -> Service:
    def ready() -> bool:
        return f"+{name}" in log.read_text().split()

    argv = ["sh", "-c", script.format(name, log)]
    return Service(name=name, argv=argv, env={}, ready=ready if waits else None, grace=grace)


def group(services: list[Service], then: Callable[[], object], *, patience: float = 10) -> None:
    """Runs the services; `then` is called when they are ready, on another thread, and after it they are ended."""
    stopping, ready = Event(), Event()

    def play() -> None:
        ready.wait(10)
        try:
            then()
        finally:
            stopping.set()

    thread = Thread(target=play)
    thread.start()
    try:
        supervise(services, stopping, on_ready=ready.set, patience=patience)
    finally:
        ready.set()
        thread.join()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_they_start_in_order_each_when_the_one_before_is_ready_and_end_in_the_opposite_order(log: Path) -> None:
    slow = "sleep 0.2; " + LASTS
    seen: list[str] = []
    group([service("a", log, slow), service("b", log, slow), service("c", log)], lambda: seen.extend(told(log)))
    assert seen == ["+a", "+b", "+c"]
    assert told(log)[3:] == ["-c", "-b", "-a"]


def told(log: Path) -> list[str]:
    return log.read_text().split()


def test_one_that_dies_is_started_again_later_each_time_and_the_others_stay(log: Path) -> None:
    dies = "date +%s.%N >> {1}.{0}; sleep 0.1; exit 3"
    starts = Path(f"{log}.b")

    def thrice() -> bool:
        return starts.exists() and len(told(starts)) == 3

    group([service("a", log), service("b", log, dies, waits=False)], lambda: until(thrice))
    first, second = (late - early for early, late in pairwise(map(float, told(starts))))
    assert 0.5 < first < second
    assert second > 1.0
    assert told(log) == ["+a", "-a"]


def test_one_that_is_not_ready_in_time_ends_the_group(log: Path) -> None:
    with pytest.raises(Unavailable, match="b is not ready after 0 s"):
        group([service("a", log), service("b", log, "exec sleep 60"), service("c", log)], list, patience=0.3)
    assert told(log) == ["+a", "-a"]


def test_one_that_ends_before_it_is_ready_ends_the_group_and_says_how(log: Path) -> None:
    with pytest.raises(Unavailable, match="b ended at once, with status 7"):
        group([service("a", log), service("b", log, "exit 7")], list)
    assert told(log) == ["+a", "-a"]


def test_one_that_runs_already_is_not_started_a_second_time(log: Path) -> None:
    log.write_text("+b\n")
    with pytest.raises(Unavailable, match="a b runs here already"):
        group([service("a", log), service("b", log)], list)
    assert told(log) == ["+b", "+a", "-a"]


def test_one_that_does_not_end_when_asked_is_killed_after_its_grace(log: Path) -> None:
    deaf = "trap '' TERM; echo +{0} >> {1}; while :; do sleep 0.02; done"
    began = time.monotonic()
    group([service("a", log), service("b", log, deaf, grace=0.3)], list)
    assert 0.3 < time.monotonic() - began < 5
    assert told(log) == ["+a", "+b", "-a"]


def test_told_to_stop_while_one_comes_up_it_starts_no_more(log: Path) -> None:
    stopping = Event()
    ready: list[int] = []
    slow = service("a", log, "echo +begun >> {1}; exec sleep 60")

    def stop() -> None:
        until(lambda: told(log) == ["+begun"])
        stopping.set()

    thread = Thread(target=stop)
    thread.start()
    supervise([slow, service("b", log)], stopping, on_ready=lambda: ready.append(1))
    thread.join()
    assert told(log) == ["+begun"]
    assert not ready


def test_a_folder_has_one_group_and_the_next_may_come_when_it_has_gone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for _ in range(2):
        with alone(lock), pytest.raises(StoreLocked, match=r"process \d+ runs a group in"), alone(lock):
            pass
