"""Where an ingest stands: a bar for people, lines of JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from quiver.cli.gauge import Count
from quiver.cli.render import err
from quiver.reports import Progress

EVERY = 1.0  # seconds between lines of JSON

Tell = Callable[[Progress], None]


class _Rate(ProgressColumn):
    """Items a second of late; of the whole once it is over."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


@contextmanager
def bar() -> Iterator[Tell]:
    """A bar on standard error while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        Count(),
        _Rate(),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[bound]}", style="dim"),
    )
    with Bar(*columns, console=err) as shown:
        task = shown.add_task("registering", total=None, failed=0, bound="")

        def tell(now: Progress) -> None:
            every = now.total is not None and now.registered >= now.total
            total = max(now.total, now.done) if now.total is not None else None
            doing = "indexing" if every else "registering"
            bound = bound_by(now.stages)
            shown.update(task, description=doing, total=total, completed=now.done, failed=now.failed, bound=bound)

        yield tell


def bound_by(stages: Mapping[str, float], *, most: int = 2) -> str:
    """What takes most of the time, as `encode 71%, decode 20%`; nothing before there is anything to say."""
    whole = sum(stages.values())
    longest = sorted(stages.items(), key=lambda one: -one[1])[:most]
    return ", ".join(f"{name} {spent / whole:.0%}" for name, spent in longest) if whole else ""


@contextmanager
def lines() -> Iterator[Tell]:
    """A line of JSON a second on standard error, and one at the end."""
    began, said, lock = monotonic(), -EVERY, Lock()
    last: Progress | None = None

    def line(now: Progress) -> None:
        seconds = monotonic() - began
        rate = now.done / seconds if seconds else 0.0
        left = None if now.total is None or not rate else max(0, now.total - now.done) / rate
        more = {"seconds": round(seconds, 3), "rate": round(rate, 3), "eta": None if left is None else round(left, 1)}
        stages = {name: round(spent, 3) for name, spent in now.stages.items()}
        err.out(json.dumps({**dataclasses.asdict(now), "stages": stages, **more}), highlight=False)

    def tell(now: Progress) -> None:
        nonlocal said, last
        with lock:  # lanes tell from threads of their own
            last = now
            if monotonic() - said >= EVERY:
                said = monotonic()
                line(now)

    try:
        yield tell
    finally:
        if last is not None:
            line(last)
