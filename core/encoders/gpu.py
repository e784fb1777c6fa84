"""A model on a GPU: pinned memory on the way there, and batches of the size that trying finds."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from core.encoders.towers import Float

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

ROWS = 128  # pictures or sounds of the first forward
TOKENS = 16_384  # tokens of the first forward of texts, padding among them
TRIES = 3  # forwards of one size, of which the fastest counts: the first warms up, and lanes disturb each other
GAIN = 1.05  # how much faster twice as many rows have to be, to be worth their memory


def put(array: Any, device: torch.device) -> torch.Tensor:
    """The array where the model is: the array's own memory on a CPU, through pinned memory to a GPU."""
    import torch

    there = torch.from_numpy(array)
    return there if device.type == "cpu" else there.pin_memory().to(device, non_blocking=True)


def rows_of(tower: Callable[..., Float]) -> Callable[[int], int] | None:
    """How many rows of a width a tower is best given at once; None for one that does not find that out."""
    return tower.rows if isinstance(tower, Fitting) else None


@dataclass(slots=True)
class _Size:
    """What is known of rows that are about equally wide. Cells: rows times their width."""

    cells: int
    settled: bool = False
    best: int = 0  # cells, the fastest so far
    rate: float = 0.0  # cells a second, of the best
    tries: list[float] = field(default_factory=list)  # the same, of this size


class Fitting:
    """A tower asked for as many rows at once as it is fastest with: twice as many as long as that is faster, half as
    many when it is out of memory, and kept so. Rows of other widths have sizes of their own: what fits of short texts
    says little of long ones.

    Raises what `full` is when one row alone does not fit. Safe to call from several threads.
    """

    def __init__(
        self,
        call: Callable[..., Float],
        full: type[BaseException],
        free: Callable[[], None],
        *,
        cells: int = ROWS,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`cells` are those of the first forward."""
        self._call, self._full, self._free, self._clock = call, full, free, clock
        self._lock = threading.Lock()  # of the sizes
        self._sizes: defaultdict[int, _Size] = defaultdict(lambda: _Size(cells))  # by the bits of the width

    def rows(self, width: int = 1) -> int:
        """How many rows so wide are asked for at once, at present."""
        with self._lock:
            return max(1, self._sizes[width.bit_length()].cells // width)

    def __call__(self, *given: Any) -> Float:
        """Arrays of n rows to n rows. Token ids, (n, tokens), are as wide as they are; all else is one wide."""
        width = given[0].shape[1] if given[0].ndim == 2 else 1
        left, out = len(given[0]), []
        while left:
            most = self.rows(width)
            size, began = min(most, left), self._clock()
            try:
                out.append(self._call(*(array[:size] for array in given)))
            except self._full:
                if size == 1:
                    raise
                self._halve(size, width)
                self._free()
                continue
            if 2 * size > most:  # batches of texts are seldom full to the last row
                self._timed(size, most, width, self._clock() - began)
            given, left = tuple(array[size:] for array in given), left - size
        return np.concatenate(out)

    def _halve(self, size: int, width: int) -> None:
        half = size // 2
        with self._lock:
            kept = self._sizes[width.bit_length()]
            kept.cells, kept.settled = min(kept.cells, half * width), True
        log.warning("the GPU's memory is too small for %d rows at once: %d from now on", size, half)

    def _timed(self, size: int, most: int, width: int, seconds: float) -> None:
        with self._lock:
            kept = self._sizes[width.bit_length()]
            if kept.settled or most != max(1, kept.cells // width):  # another thread changed it meanwhile
                return
            kept.tries.append(size * width / max(seconds, 1e-9))
            if len(kept.tries) < TRIES:
                return
            rate, kept.tries = max(kept.tries), []
            if rate > kept.rate * GAIN:
                kept.best, kept.rate = kept.cells, rate
                kept.cells *= 2
            else:
                kept.cells, kept.settled = kept.best, True
                log.info("the GPU is fastest with %d rows at once, %d wide", max(1, kept.cells // width), width)
