"""The pace of a build: so many assets a second, of all the runs at it together, one after another or at once.

When the last turn was, and of how many assets, is kept in the plan of the index: no run begins with a turn for nothing,
and another rate counts at once.
"""

from __future__ import annotations

from time import time

from core.errors import Conflict
from core.indexes import Tended
from core.runtime.wiring import Parts


def turn(parts: Parts, made: Tended, most: int) -> tuple[int, float]:
    """Take a turn: how many assets may be built now, `most` at most. None: 0, and the seconds until some may be."""
    rate = float(made.plan.get("rate") or 0.0)
    if rate <= 0:
        return most, 0.0
    last = made.plan.get("turn")
    at, before = last or (0.0, 0)
    ahead = before / rate - max(0.0, time() - at)  # a clock that was put back holds up one turn, no more
    if ahead > 0:
        return 0, ahead
    count = min(most, max(1, round(rate)))  # of a second, so that live work comes between
    try:
        parts.catalogue.revise(made.index.id, {"turn": [time(), count]}, given={"turn": last})
    except Conflict:  # another run took it
        return 0, count / rate
    return count, 0.0
