"""What indexing did, and where its time went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from core.runtime import traces


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
        for stage, spent in other.seconds.items():
            self.seconds[stage] += spent
        return self

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time spent inside to the stage."""
        began = perf_counter()
        try:
            with traces.span(f"index.{stage}"):
                yield
        finally:
            self.seconds[stage] += perf_counter() - began
