"""A model on a GPU: pinned memory on the way there, and batches as large as fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.encoders.towers import Float

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def put(array: Any, device: torch.device) -> torch.Tensor:
    """The array where the model is: the array's own memory on a CPU, through pinned memory to a GPU."""
    import torch

    there = torch.from_numpy(array)
    return there if device.type == "cpu" else there.pin_memory().to(device, non_blocking=True)


class Fitting:
    """A tower asked for as many rows at once as its memory takes: halved when it is out of memory, and kept so.

    Raises what `full` is when one row alone does not fit. Safe to call from several threads.
    """

    def __init__(self, call: Callable[..., Float], full: type[BaseException], free: Callable[[], None]) -> None:
        self._call, self._full, self._free = call, full, free
        self._most = 0  # rows; 0: not known, all

    def __call__(self, *given: Any) -> Float:
        """Arrays of n rows to n rows."""
        rows, out = len(given[0]), []
        while rows:
            size = min(self._most or rows, rows)
            try:
                out.append(self._call(*(array[:size] for array in given)))
            except self._full:
                if size == 1:
                    raise
                self._most = size // 2
                log.warning("the GPU's memory is too small for %d rows at once: %d from now on", size, self._most)
                self._free()
                continue
            given, rows = tuple(array[size:] for array in given), rows - size
        return np.concatenate(out)
