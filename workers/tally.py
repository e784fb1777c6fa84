"""What indexing did, and where its time went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.runtime import traces
from core.timing import add, measured


@dataclass(slots=True)
class Tally:
    """What was done, and how long each stage took."""

    indexed: int = 0
    failed: int = 0
    stale: int = 0  # written, but the asset had changed meanwhile
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __iadd__(self, other: Tally) -> Tally:
        self.indexed += other.indexed
        self.failed += other.failed
        self.stale += other.stale
        add(other.seconds, self.seconds)
        return self

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time spent inside to the stage, or to those that are parts of it (`core.timing.part`)."""
        with measured(stage, self.seconds), traces.span(f"index.{stage}"):
            yield
