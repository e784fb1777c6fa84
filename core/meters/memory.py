"""What is used, counted in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic_ns

from core.meters import gcra
from core.meters.gcra import MICROSECOND

FEW = 1024  # names that are kept without looking whether they could be forgotten


class MemoryMeter:
    """`Meter` of core.ports for one process. Allowances that are full again are forgotten."""

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        """`clock` tells nanoseconds."""
        self._clock = clock
        self._full: dict[str, int] = {}  # name: when its allowance is full again, in microseconds
        self._look_at = FEW
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Names that are kept."""
        return len(self._full)

    def spend(self, name: str, amount: float, *, most: float, per: timedelta) -> timedelta:
        """Port."""
        if amount > most:
            return per
        step = gcra.step(amount, most, per)
        with self._lock:
            now = self._clock() // 1000
            full, wait = gcra.spend(self._full.get(name, now), now, step=step, per=per // MICROSECOND)
            self._full[name] = full
            self._tidy(now)
        return wait * MICROSECOND

    def close(self) -> None:
        """Port."""

    def _tidy(self, now: int) -> None:
        if len(self._full) > self._look_at:
            self._full = {name: full for name, full in self._full.items() if full > now}
            self._look_at = max(FEW, 2 * len(self._full))
