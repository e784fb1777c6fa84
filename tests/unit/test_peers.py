"""The comparison with peers measures what its children did, and hides none that failed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.child import Child, Failed, alternate
from benchmarks.peers.environment import LOCKS, NotInstalled, environment
from benchmarks.peers.figures import OURS, cosine, ingest_rows, install_rows, latencies, rates, search_rows

FAKE = """
import os, sys, time
from benchmarks.peers.serve import serve

def load(model, scratch, variant):
    print("libraries print")
    if variant == "broken":
        raise ValueError("no weights\\nhere")
    def wrong():
        raise KeyError("no such thing")
    def die():
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)
    def burn(seconds):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
    def count(paths):
        print("more noise")
        return len(paths)
    return {"count": count, "wrong": wrong, "die": die, "burn": burn}

serve(load, ["numpy"])
"""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Child]:
    child = started(tmp_path, "-")
    yield child
    child.end()


def started(folder: Path, variant: str) -> Child:
    return Child([sys.executable, "-c", FAKE, "model", str(folder), variant], log=folder / "log")


def test_a_child_loads_once_says_ready_and_answers_though_its_libraries_print(fake: Child, tmp_path: Path) -> None:
    assert set(fake.ready(30)) == {"numpy"}
    assert [fake.ask("count", paths=["a"] * n).value for n in (3, 0, 70_000)] == [3, 0, 70_000]
    assert (tmp_path / "log").read_text().startswith("libraries print")


def test_seconds_are_those_of_the_job_and_its_cores_are_counted(fake: Child) -> None:
    fake.ready(30)
    before = fake.spent()
    assert fake.ask("burn", seconds=0.3).seconds >= 0.3
    assert fake.spent() - before >= 0.25


def test_a_child_outlives_what_fails_in_it(fake: Child) -> None:
    fake.ready(30)
    with pytest.raises(Failed, match="KeyError: 'no such thing'"):
        fake.ask("wrong")
    assert fake.ask("count", paths=[]).value == 0


def test_a_child_that_dies_says_what_it_said_last_and_ends_the_turns_of_its_own_side_only(
    fake: Child, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = started(tmp_path / "other", "-")
    turns = []

    def turn(name: str, child: Child, number: int) -> None:
        turns.append((name, number))
        if (name, number) == ("a", 1):
            child.ask("die")
        child.ask("count", paths=[])

    fake.ready(30)
    other.ready(30)
    assert alternate({"a": fake, "b": other}, 3, turn) == {"a": "it ended: out of memory"}
    assert turns == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)]
    with pytest.raises(Failed, match="out of memory"):
        fake.ask("count", paths=[])
    other.end()
    fake.end()


def test_a_child_that_cannot_load_says_why_and_one_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    broken = started(tmp_path, "broken")
    with pytest.raises(Failed, match=r"^ValueError: no weights$"):
        broken.ready(30)
    broken.end()
    hanging = Child([sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log")
    with pytest.raises(Failed, match="no answer in 0 s"):
        hanging.ready(0.1)
    hanging.end(parting=0.1)


def test_rates_are_medians_and_ours_is_compared_within_rounds() -> None:
    def rounds(*rates: float) -> list[dict[str, float]]:
        return [{"per_s": rate, "cores_of_others": 0.1} for rate in rates]

    said = rates({OURS: rounds(60, 30, 90), "st": rounds(10, 10, 30)})
    assert said["st"] == {"per_s": 10, "cores_of_others": 0.1, "ours_is_times": 3}
    assert said[OURS]["ours_is_times"] == 1
    assert rates({"st": rounds(4)})["st"] == {"per_s": 4, "cores_of_others": 0.1}  # ours was not asked for


def test_latencies_are_over_all_searches_and_compared_at_the_median() -> None:
    said = latencies({OURS: [[0.01] * 50, [0.01] * 49 + [0.5]], "st": [[0.2] * 100]})
    assert said[OURS]["p50_ms"] == pytest.approx(10)
    assert 10 < said[OURS]["p99_ms"] < 500
    assert said["st"]["times_ours"] == pytest.approx(20)
    assert "times_ours" not in latencies({"st": [[0.2]]})["st"]


def test_the_cosine_of_a_vector_does_not_ask_for_its_length() -> None:
    assert cosine([1, 1], [5, 5]) == pytest.approx(1)
    assert cosine([1, 0], [0, 2]) == 0


def test_a_side_that_was_not_installed_or_failed_is_a_row_with_its_reason() -> None:
    said = {
        "sides": {
            OURS: {"cosine": 1.0, "versions": {"torch": "2"}},
            "st": {"bytes": 2**31, "install_seconds": 9},
            "x": {},
        },
        "failed": {"st": "a | b\nc", "x": "no matching distribution"},
        "unsearched": {"st": "it ended"},
        "ingest": {OURS: {"per_s": 60, "cores_of_others": 0, "ours_is_times": 1}, "st": {"per_s": 1}},
        "searched": [OURS, "st"],
        "search": {OURS: {"p50_ms": 8, "p99_ms": 20, "times_ours": 1}, "st": {"p50_ms": 1}},
    }
    rows = ingest_rows(said).splitlines()
    assert rows[2:] == [
        "| Quiver | 60.0 | 1.00 x | 0.00 | 1.0000 |",
        "| st | not measured: a / b c | | | |",
        "| x | not measured: no matching distribution | | | |",
    ]
    assert search_rows(said).splitlines()[3] == "| st | not measured: it ended | | |"
    assert install_rows(said).splitlines()[2:] == ["| Quiver | torch 2 |  |", "| st |  | 2.0 GiB, 9 s |", "| x |  |  |"]


def test_locks_pin_every_package_and_bring_nothing_for_graphics_cards() -> None:
    locks = sorted(LOCKS.glob("*.txt"))
    assert len(locks) == 6
    for lock in locks:
        pins = lock.read_text().splitlines()
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), lock
        assert {pin for pin in pins if pin.startswith("torch==")} <= {"torch==2.13.0"}
        assert not [pin for pin in pins if re.match(r"nvidia|cuda|triton", pin)]


def test_an_environment_that_cannot_be_made_says_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.environment.LOCKS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (tmp_path / "peer.txt").write_text("no-such-package-of-quiver==1.0\n")
    with pytest.raises(NotInstalled, match="No matching distribution found for no-such-package-of-quiver"):
        environment("peer", tmp_path / "venvs")
