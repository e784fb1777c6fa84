"""The figures of the load benchmark are what the requests were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.group import QUIVER, named, processes
from benchmarks.http import percentile, sound, summary
from benchmarks.phrases import phrase

LOST = {"ok": True}
SOUND = {"errors": 0, "lost": LOST, "accepted_twice": 0, "killed": 2, "to_kill": 2}


@pytest.mark.parametrize(("share", "wanted"), [(0.01, 2), (0.5, 2), (0.51, 30), (0.98, 30), (0.99, 400), (1.0, 400)])
def test_a_percentile_counts_requests_and_orders_times_as_numbers(share: float, wanted: float) -> None:
    assert percentile({"400": 2, "30": 48, "2": 50}, share) == wanted


def test_a_rate_is_over_the_time_of_all_requests() -> None:
    def entry(name: str, count: int, began: float, ended: float) -> dict[str, object]:
        return {
            "name": name,
            "num_requests": count,
            "num_failures": 1,
            "response_times": {"5": count},
            "max_response_time": 5,
            "start_time": began,
            "last_request_timestamp": ended,
        }

    said = summary([entry("search", 80, 100.0, 104.0), entry("add", 20, 102.0, 110.0)])
    assert {name: one["per_s"] for name, one in said.items()} == {"search": 8.0, "add": 2.0}
    assert said["add"]["failed"] == 1


@pytest.mark.parametrize("wrong", [{"errors": 1}, {"lost": {"ok": False}}, {"accepted_twice": 1}, {"killed": 1}])
def test_an_error_a_loss_or_a_worker_that_was_not_killed_is_not_sound(wrong: dict[str, object]) -> None:
    assert sound(SOUND)
    assert not sound(SOUND | wrong)


def test_a_process_is_named_by_its_command_and_tells_what_it_holds() -> None:
    assert named([*QUIVER, "worker", "--concurrency", "0", ""]) == "worker"
    assert named(["/usr/bin/valkey-server", "unixsocket:/x"]) == "valkey-server"
    me = processes()[os.getpid()]
    assert me.parent == os.getppid()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert me.rss == pytest.approx(resident, rel=0.05)
    assert 0 < me.spent <= sum(os.times()[:4]) + 0.02


def test_texts_are_all_different() -> None:
    assert len({phrase(number) for number in range(5000)}) == 5000
