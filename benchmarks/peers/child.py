"""The parent's half of the protocol: a side that runs in a process of its own, loaded once and asked many times."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, TypeVar

TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 900.0  # seconds for one answer
PARTING = 10.0  # seconds to end once the input has ended

T = TypeVar("T")


class Failed(Exception):
    """What a child could not do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job returned, and how long it took in the child."""

    value: Any
    seconds: float


class Child:
    """A process that answers lines. Its errors go to `log`."""

    def __init__(self, argv: Sequence[str], *, log: Path, env: dict[str, str] | None = None) -> None:
        """Starts it. `ready` waits until it has loaded."""
        self._log = log
        with log.open("wb") as told:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, env=env, start_new_session=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout

    def ready(self, patience: float = PATIENCE) -> dict[str, str]:
        """Versions of what it runs. Raises Failed."""
        said: dict[str, str] = self._read(patience)["ready"]
        return said

    def ask(self, do: str, *, patience: float = PATIENCE, **arguments: Any) -> Answer:
        """Run a job. Raises Failed."""
        try:
            self._asks.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._asks.flush()
        except BrokenPipeError as exc:
            raise Failed(self._last()) from exc
        said = self._read(patience)
        return Answer(said["value"], said["seconds"])

    def spent(self) -> float:
        """Core seconds so far, with those of its own children that have ended."""
        try:
            said = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, said[11:15])) / TICK

    def end(self, parting: float = PARTING) -> None:
        """Its input ends; what is left after that, its own children too, is killed. Harmless twice."""
        try:
            self._asks.close()
        except BrokenPipeError:
            self._answers.close()  # it has ended by itself: there was something left to write
        try:
            self._process.wait(parting)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._answers.close()

    def _read(self, patience: float) -> dict[str, Any]:
        until = monotonic() + patience
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._answers], [], [], max(0.0, until - monotonic()))[0]:
                raise Failed(f"no answer in {patience:.0f} s")
            if not (more := os.read(self._answers.fileno(), 1 << 20)):
                raise Failed(self._last())
            line += more
        said: dict[str, Any] = json.loads(line)
        if "failed" in said:
            raise Failed(said["failed"])
        return said

    def _last(self) -> str:
        """Why it is gone, as it said last."""
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return f"it ended: {lines[-1][:300]}"


def alternate(sides: dict[str, T], rounds: int, turn: Callable[[str, T, int], object]) -> dict[str, str]:
    """Every side's turn in every round, one after the other. One that fails is asked no more: the reasons by name."""
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name, side in sides.items():
            if name not in failed:
                try:
                    turn(name, side, number)
                except Failed as exc:
                    failed[name] = str(exc)
    return failed
