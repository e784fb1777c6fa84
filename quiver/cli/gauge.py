"""How far something long is, on standard error where that is a terminal: so many of so many, and what is done now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from quiver.cli.render import err

Tell = Callable[[str, int, int | None], None]  # what is done, how many are done, of how many if that is known


class Count(ProgressColumn):
    """Items done, and of how many where that is known."""

    def render(self, task: Task) -> Text:
        """As text."""
        total = "?" if task.total is None else f"{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}/{total}")


@contextmanager
def gauge(*, quiet: bool) -> Iterator[Tell]:
    """A function that is told. Shows nothing when quiet, or when nobody looks."""
    if quiet or not err.is_terminal:
        yield lambda _what, _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), Count(), TimeRemainingColumn())
    with Progress(*columns, console=err) as shown:
        task = shown.add_task("", total=None)

        def tell(what: str, done: int, total: int | None) -> None:
            shown.update(task, description=what, completed=done, total=total)

        yield tell
