"""A loaded model as plain functions of arrays: made by a family's loader, perhaps replaced by a faster equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Family = Literal["clip", "siglip", "chinese-clip", "clap", "bert", "dinov2"]
Pooling = Literal["", "mean", "cls"]
Float = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Towers:
    """The towers of one model, each f32 (n, dim), row i of input i alone, not yet of unit length.

    Every function is safe to call from several threads at once and computes without gradients.
    """

    family: Family
    model: Any  # the torch.nn.Module, in float32 and eval mode, on the CPU; None where no tower needs it any more
    dim: int
    pooling: Pooling = ""  # of family bert: how token states become one row
    side: tuple[int, int] = (0, 0)  # height, width of the pictures
    texts: Callable[[Ids, Ids], Float] | None = None  # token ids and mask (1: read), i64 (n, t), padded at the end
    images: Callable[[Float], Float] | None = None  # f32 (n, 3, height, width), prepared
    sounds: Callable[[Float], Float] | None = None  # log mel spectrograms, f32 (n, 1, frames, mels)
    how: Mapping[str, str] = field(default_factory=dict)  # name of a tower to how it is computed, in words
