"""docker-compose.yml as Compose reads it, and its services as plain processes of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
OURS = ("migrate", "api", "worker", "worker-live", "worker-gpu", "clock")
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\})")
BIN = str(Path(sys.executable).parent)
KEPT = ("LANG", "LC_", "LD_", "OPENBLAS_", "PYTHON")  # of this machine's environment, as an image has its own
DEADLINE = 120.0  # seconds


class Unset(Exception):
    """A variable that must be set is not."""


def compose(env: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in. Raises Unset."""
    return {name: filled(part, env) for name, part in raw().items()}


def raw() -> dict[str, Any]:
    """The file as it is written, anchors resolved."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def filled(part: Any, env: Mapping[str, str]) -> Any:
    """`${NAME}`, `${NAME:-otherwise}`, `${NAME:?or say this}` and `$$`, in every text of it."""

    def value(found: re.Match[str]) -> str:
        if not (name := found["name"]):
            return "$"
        if env.get(name):
            return env[name]
        if found["how"] == "?":
            raise Unset(f"{name}: {found['rest']}")
        return found["rest"] or ""

    match part:
        case str():
            return VARIABLE.sub(value, part)
        case dict():
            return {name: filled(each, env) for name, each in part.items()}
        case list():
            return [filled(each, env) for each in part]
        case _:
            return part


def example() -> dict[str, str]:
    """What .env.example sets."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    said = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in said}


class Machine:
    """The services of a filled-in file as processes here: other hosts and ports, and the folder instead of a volume.

    `instead` replaces texts in commands, environment and health checks; `env` is set besides, or taken out when None.
    """

    def __init__(
        self, services: Mapping[str, Any], folder: Path, instead: Mapping[str, str], env: Mapping[str, str | None]
    ) -> None:
        self._services, self._folder, self._instead, self._env = services, folder, instead, env
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def argv(self, name: str) -> list[str]:
        """What runs, by the image's entry point."""
        return ["quiver", *self._here(self._services[name]["command"])]

    def env(self, name: str) -> dict[str, str]:
        """What it sees: nothing of ours, but what makes Python run."""
        kept = {key: value for key, value in os.environ.items() if key.startswith(KEPT)}
        said = {key: str(value) for key, value in self._here(self._services[name]["environment"]).items()}
        here = {**kept, "HOME": str(self._folder), **said, **self._env}
        return {**{key: value for key, value in here.items() if value is not None}, "PATH": f"{BIN}:/usr/bin:/bin"}

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """It, or another command in its place, to its end."""
        argv = ["quiver", *command] if command else self.argv(name)
        return subprocess.run(
            [f"{BIN}/{argv[0]}", *argv[1:]],
            env=self.env(name),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def start(self, name: str, *command: str) -> None:
        """It, or another command in its place, until `stop`."""
        argv = ["quiver", *command] if command else self.argv(name)
        with self.log(name).open("ab") as log, (self._folder / f"{name}.out").open("ab") as out:
            self.running[name] = subprocess.Popen(
                [f"{BIN}/{argv[0]}", *argv[1:]],
                env=self.env(name if name in self._services else "migrate"),
                cwd=self._folder,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Where what it says on standard error is."""
        return self._folder / f"{name}.log"

    def healthy(self, name: str) -> bool:
        """Whether its own health check succeeds."""
        kind, *words = self._here(self._services[name]["healthcheck"]["test"])
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        done = subprocess.run(argv, env=self.env(name), cwd=self._folder, capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def wait_for(self, name: str) -> None:
        """Until it is healthy."""
        until = monotonic() + DEADLINE
        while not self.healthy(name):
            child = self.running[name]
            assert child.poll() is None, f"{name} ended with {child.returncode}: {self.log(name).read_text()}"
            assert monotonic() < until, f"{name} is not healthy: {self.log(name).read_text()}"
            sleep(0.2)

    def stop(self, name: str) -> int:
        """Its exit status after SIGTERM, if it ends within its grace."""
        child = self.running[name]
        child.terminate()
        grace = self._services.get(name, {}).get("stop_grace_period", "60s")
        return child.wait(int(grace.removesuffix("s")))

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """What still runs afterwards is killed."""
        try:
            yield
        finally:
            for child in self.running.values():
                if child.poll() is None:
                    child.kill()
                    child.wait()

    def _here(self, part: Any) -> Any:
        match part:
            case str():
                for there, here in self._instead.items():
                    part = part.replace(there, here)
                return part
            case dict():
                return {name: self._here(each) for name, each in part.items()}
            case list():
                return [self._here(each) for each in part]
            case _:
                return part
