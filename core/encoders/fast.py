"""A loaded model made faster where the processor can: weights in bfloat16, linear layers packed for oneDNN.

Half the bytes a weight, and twice to sixteen times the products a cycle, where there are instructions for them
(AVX512_BF16 and AMX-BF16 of Intel's instruction set reference). What is made is tried beside the reference before it
is used: vectors of both may lie in one index, so they must be the same but for rounding.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.encoders.towers import Float, Towers

log = logging.getLogger(__name__)
SAME = 0.999  # cosine of a row with the reference's
APART = 0.95  # the same after the mean row is taken away, on average: what a model tells its inputs apart by

Probe = Mapping[str, tuple[Any, ...]]  # name of a tower to its arguments


def fastest(towers: Towers, made: Callable[[Any], Towers], probe: Probe) -> Towers:
    """The towers themselves, or those that `made` gives of a faster copy of their model when they agree on the probe.

    The reference is let go of then: a worker holds one copy of the weights.
    """
    if not gains():
        return towers
    try:
        faster = made(packed(copy.deepcopy(towers.model)))
        worst, apart = fidelity(outputs(towers, probe), outputs(faster, probe))
    except (RuntimeError, TypeError, NotImplementedError) as exc:  # an operator this processor or model has none of
        log.warning("%s stays in float32: %s", towers.family, exc)
        return towers
    if worst < SAME or apart < APART:
        log.warning("%s stays in float32: in bfloat16 it would be off by %.4f, %.4f", towers.family, worst, apart)
        return towers
    log.info("%s runs in bfloat16: cosine %.5f at least, %.4f without the mean", towers.family, worst, apart)
    return faster


def gains() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    import torch

    cpu: Any = torch.cpu
    return bool(cpu._is_amx_tile_supported() or cpu._is_avx512_bf16_supported())


def outputs(towers: Towers, probe: Probe) -> dict[str, Float]:
    """What each tower makes of its probe."""
    return {name: getattr(towers, name)(*given) for name, given in probe.items()}


def fidelity(reference: Mapping[str, Float], others: Mapping[str, Float]) -> tuple[float, float]:
    """The least cosine of a row with its reference, and the least mean of it after centring on the reference's mean.

    Random or untrained towers give all inputs nearly one vector: the first alone would see nothing there.
    """
    worst, apart = 1.0, 1.0
    for name, rows in reference.items():
        mine, mean = others[name], rows.mean(axis=0)
        worst = min(worst, float(_cosines(rows, mine).min()))
        if len(rows) > 1 and np.linalg.norm(rows - mean) > 1e-6:
            apart = min(apart, float(_cosines(rows - mean, mine - mean).mean()))
    return worst, apart


def _cosines(ones: Float, others: Float) -> Float:
    lengths = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    out: Float = (ones * others).sum(axis=1) / np.maximum(lengths, 1e-12)
    return out


def packed(model: Any) -> Any:
    """The model in bfloat16, its linear layers packed, in place.

    Attention of torch's own class reads the weight of its last layer and never calls it: that one is left.
    """
    import torch

    model.to(torch.bfloat16)
    kept = {id(module.out_proj) for module in model.modules() if isinstance(module, torch.nn.MultiheadAttention)}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and id(child) not in kept:
                setattr(module, name, _packed_linear(child))
    return model


def _packed_linear(linear: Any) -> Any:
    import torch

    operators: Any = torch.ops.mkldnn  # those that torch.compile writes into what it makes; private, so torch is pinned

    class Packed(torch.nn.Module):
        """A linear layer whose weight lies as oneDNN wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.empty(0, dtype=linear.weight.dtype)  # some models ask for its type
            self.bias = linear.bias
            self._laid = operators._reorder_linear_weight(linear.weight.detach(), None)

        def forward(self, given: Any) -> Any:
            return operators._linear_pointwise(given, self._laid, self.bias, "none", [], "")

    with torch.inference_mode():
        return Packed()
