"""A virtual environment for each peer, with exactly the packages that a file of `locks/` names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

LOCKS = Path(__file__).parent / "locks"
STAMP = "installed.json"
PATIENCE = 1800.0  # seconds for pip


class NotInstalled(Exception):
    """What pip said last."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where its Python is, and what it took to make it: seconds and bytes of a first install."""

    python: str
    seconds: float
    size: int


def environment(name: str, venvs: Path) -> Environment:
    """Made once for a lock; made anew when the lock has changed. Raises NotInstalled.

    Nothing but the lock is installed (`--no-deps`): the locks name no CUDA package, so none comes along. The torch that
    pip finds must be one for CPUs; of another the peer says at its first import what it lacks.
    """
    lock, folder = LOCKS / f"{name}.txt", venvs / name
    wanted, stamp = lock.read_text(), folder / STAMP
    if stamp.exists() and (kept := json.loads(stamp.read_text()))["lock"] == wanted:
        return Environment(**kept["made"])
    shutil.rmtree(folder, ignore_errors=True)
    python, began = folder.absolute() / "bin" / "python", perf_counter()
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--prefer-binary", "-r", str(lock))
    made = Environment(str(python), round(perf_counter() - began, 1), _size(folder))
    stamp.write_text(json.dumps({"lock": wanted, "made": asdict(made)}))
    return made


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotInstalled(str(exc)) from exc
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled((errors or done.stderr.splitlines() or [f"{argv[0]} ended with {done.returncode}"])[-1])


def _size(folder: Path) -> int:
    return sum(
        os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder, followlinks=False) for name in names
    )
