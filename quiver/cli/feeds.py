"""How far feeds are: a bar with the rate and the time that is left, on standard error where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from quiver.cli.render import err
from workers.recommending import Feeds


class _Rate(ProgressColumn):
    """People a second, of this run."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def feeds_bar(*, quiet: bool) -> Iterator[Callable[[Feeds], None]]:
    """A function that is told. Shows nothing when quiet, or when nobody looks."""
    if quiet or not err.is_terminal:
        yield lambda _now: None
        return
    columns = (TextColumn("feeds"), BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f}"), _Rate())
    with Progress(*columns, TextColumn("{task.fields[bad]} bad"), TimeRemainingColumn(), console=err) as shown:
        task = shown.add_task("", total=1, bad=0)

        def tell(now: Feeds) -> None:
            shown.update(task, completed=now.lines, total=now.total or 1, bad=len(now.bad))

        yield tell
