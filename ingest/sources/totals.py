"""How many items there will be, counted beside the work."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread

from core.errors import Fault
from ingest.sources.paths import Source


class Totals:
    """Counts in a thread of its own, until all is counted or it is closed."""

    def __init__(self, named: Sequence[Source]) -> None:
        self._stopping = Event()
        self._total: int | None = None
        Thread(target=self._count, args=(list(named),), daemon=True, name="count").start()

    @property
    def total(self) -> int | None:
        """Of all sources together. None: not known yet, or not before the end."""
        return self._total

    def close(self) -> None:
        """Stop counting. Harmless twice."""
        self._stopping.set()

    def _count(self, named: Sequence[Source]) -> None:
        total = 0
        for source in named:
            try:
                said = source.count()
                if said is None:
                    return
                if isinstance(said, int):
                    total += said
                    continue
                for _ in said:
                    total += 1
                    if self._stopping.is_set():
                        return
            except Fault:  # who takes the source in meets it, too, and says so
                return
        self._total = total
