"""How busy others kept the machine while a figure was taken, when processes of ours had children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


class Others:
    """Cores that processes used which are neither this one nor its children nor theirs."""

    cores = 0.0


@contextmanager
def others() -> Iterator[Others]:
    """Filled in on leaving. Of children that ended within, those count that were waited for."""
    said, began, (busy, own) = Others(), perf_counter(), _seconds()
    yield said
    busy_now, own_now = _seconds()
    said.cores = max(0.0, (busy_now - busy - own_now + own) / (perf_counter() - began))


def _seconds() -> tuple[float, float]:
    """Processor seconds of the machine, and of this process and its descendants."""
    said = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(folder.name)] = int(fields[1])
        used[int(folder.name)] = sum(map(int, fields[11:15]))  # its own and that of children it waited for
    ours, more = set[int](), {os.getpid()}
    while more:
        ours |= more
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
    tick = os.sysconf("SC_CLK_TCK")
    return (sum(said) - said[3] - said[4]) / tick, sum(used.get(pid, 0) for pid in ours) / tick
