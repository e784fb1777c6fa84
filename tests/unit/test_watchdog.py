"""A worker that stopped consuming is ended, and no other."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError

from workers import watchdog
from workers.watchdog import STATUS, Watchdog


class Ended:
    """Notes the status instead of ending the test."""

    def __init__(self) -> None:
        self.status: int | None = None

    def __call__(self, status: int) -> None:
        self.status = status


@pytest.fixture
def end() -> Ended:
    return Ended()


def test_messages_that_wait_while_nothing_runs_end_the_worker(end: Ended) -> None:
    assert Watchdog(lambda: 3, stall=0, end=end).look()
    assert end.status == STATUS


def test_an_idle_worker_without_messages_lives(end: Ended) -> None:
    assert not Watchdog(lambda: 0, stall=0, end=end).look()
    assert end.status is None


def test_a_worker_at_a_long_task_lives(end: Ended) -> None:
    dog = Watchdog(lambda: 3, stall=0, end=end)
    dog.began()
    assert not dog.look()
    dog.ended()
    assert dog.look()


def test_a_worker_that_ran_a_task_just_now_lives(end: Ended) -> None:
    dog = Watchdog(lambda: 3, stall=60, end=end)
    dog.began()
    dog.ended()
    assert not dog.look()


def test_a_task_that_never_ends_ends_the_worker(end: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LONGEST", 0)
    dog = Watchdog(lambda: 0, stall=60, end=end)
    dog.began()
    assert dog.look()


def test_a_broker_that_is_away_ends_nobody(end: Ended) -> None:
    def away() -> int:
        raise OperationalError("away")

    assert not Watchdog(away, stall=0, end=end).look()
    assert end.status is None
