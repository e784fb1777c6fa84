"""The generic cell rate algorithm, in whole microseconds: what both meters count by.

An allowance that is used is full again at a moment. Spending moves that moment on, by as long as what is spent takes to
fill up; it may lie one period ahead at most. So one number is all that is kept (ITU-T I.371; Brandur Leach, "Rate
limiting, cells, and GCRA").
"""

from __future__ import annotations

import math
from datetime import timedelta

MICROSECOND = timedelta(microseconds=1)


def step(amount: float, most: float, per: timedelta) -> int:
    """How long `amount` takes to fill up, in microseconds: rounded up, so that rounding never gives more than there is.

    Negative for an amount that is given back.
    """
    if not amount or not most:
        return 0
    # In this order all that there is takes one period exactly: most / most is 1.
    return int(math.copysign(math.ceil(abs(amount) / most * (per // MICROSECOND)), amount))


def spend(full: int, now: int, *, step: int, per: int) -> tuple[int, int]:
    """When the allowance is full again after spending, and 0; or when it is full as it was, and how long to wait.

    All in microseconds. What was kept is believed for one period and then kept so, also when nothing is spent: a clock
    that was set back, or a period made shorter, holds nobody up for longer.
    """
    was = max(now, min(full, now + per))
    wait = was + step - now - per
    return (was, wait) if wait > 0 else (was + step, 0)
