"""What loading a model took and freed, given back to the system.

The allocator of glibc keeps it, and what is kept in the arena of one thread serves no other: a hundred megabytes of a
worker that loaded EfficientNet.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Called after weights have loaded: it takes milliseconds. Does nothing where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
