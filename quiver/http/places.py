"""Long work that a request waits for: so much at once, that short requests find threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from core.errors import Overloaded

AT_ONCE = 4  # of a process
AGAIN = 30.0  # seconds after which one who was refused may ask again
places = BoundedSemaphore(AT_ONCE)


@contextmanager
def place() -> Iterator[None]:
    """One of the places, while the block runs. Raises Overloaded when all are taken."""
    if not places.acquire(blocking=False):
        fault = Overloaded(f"{AT_ONCE} exports, imports, plans or verifications are at work here already")
        fault.retry_after = AGAIN
        raise fault
    try:
        yield
    finally:
        places.release()
