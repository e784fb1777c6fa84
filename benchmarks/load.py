"""How busy others kept the machine while a figure was taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


class Load:
    """Cores that other processes used; seconds that passed; core seconds that we used."""

    others = 0.0
    wall = 0.0
    own = 0.0


def _busy() -> float:
    said = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(said) - said[3] - said[4]) / os.sysconf("SC_CLK_TCK")


@contextmanager
def measured(*, also: Callable[[], float] = lambda: 0.0) -> Iterator[Load]:
    """Filled in on leaving. Ours are this process, its children that ended meanwhile, and `also`: core seconds that
    other processes of ours have used so far."""
    load, began, busy, spent = Load(), perf_counter(), _busy(), sum(os.times()[:4]) + also()
    yield load
    load.wall = perf_counter() - began
    load.own = sum(os.times()[:4]) + also() - spent
    load.others = max(0.0, (_busy() - busy - load.own) / load.wall)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
