"""The memory of a process and all below it, as Linux counts it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Resident(NamedTuple):
    """Bytes. `rss` counts a page once for each process that has it, and so is never less than what there is; `pss`
    divides pages among all who share them, those of other trees as well, and so may be less than what a tree needs."""

    rss: int
    pss: int


def resident(pid: int) -> Resident:
    """Of a process and all below it, those that have just ended left out."""
    found = [_own(each) for each in _tree(pid)]
    return Resident(sum(one.rss for one in found), sum(one.pss for one in found))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for below in tasks:
        for child in below:
            yield from _tree(int(child))


def _own(pid: int) -> Resident:
    try:
        said = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Resident(0, 0)
    kept = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", said, re.MULTILINE))
    return Resident(*(int(kept.get(name, 0)) * 1024 for name in ("Rss", "Pss")))
