"""How many threads models take: one, because lanes are what runs side by side.

Two lanes of one torch thread each index faster than one lane of two, and do not stall each other when the machine is
shared; neither do their products of matrices in numpy, whose threads wait for each other in the middle of them
(`python -m benchmarks.pipeline`).
"""

from __future__ import annotations


def one_a_lane() -> None:
    """Called before weights load that torch computes with. Holds for the whole process."""
    import torch

    torch.set_num_threads(1)
    numpy_one_a_lane()


def numpy_one_a_lane() -> None:
    """The same where numpy alone computes."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
