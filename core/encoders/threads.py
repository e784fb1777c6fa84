"""How many threads torch takes: one, because lanes are what runs side by side.

Two lanes of one torch thread each index faster than one lane of two, and do not stall each other when the machine is
shared (`python -m benchmarks.pipeline`).
"""

from __future__ import annotations


def one_a_lane() -> None:
    """Called before weights load. Holds for the whole process."""
    import torch

    torch.set_num_threads(1)
