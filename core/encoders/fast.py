"""A loaded model made faster where the machine can: fused, in half the precision, or on another engine.

Each way is tried beside the reference, transformers' own forward in float32, before it is used: vectors of both may lie
in one index, so they must be the same but for rounding (`docs/decisions/0016-fast-paths.md`).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from operator import methodcaller
from typing import Any

import numpy as np

from core.encoders import vino
from core.encoders.fused import tower
from core.encoders.gpu import ROWS, TOKENS, Fitting
from core.encoders.machine import Machine, machine
from core.encoders.packed import packed
from core.encoders.towers import Float, Towers

log = logging.getLogger(__name__)
SAME = 0.999  # cosine of a row with the reference's
APART = 0.98  # the same after the mean row is taken away, on average: what a model tells its inputs apart by

Probe = Mapping[str, tuple[Any, ...]]  # name of a tower to its arguments
Tower = Callable[..., Float]
Change = Callable[[Any], Any]  # of a model, in place
Way = tuple[str, Callable[[], Tower | None]]  # how, in words, and what makes it; None: it is not for this model


def fastest(towers: Towers, made: Callable[[Any], Towers], probe: Probe, here: Machine | None = None) -> Towers:
    """Each tower by the first way that agrees with the reference on the probe. `made` gives the towers of a model.

    The reference is let go of when nothing needs it: a worker holds one copy of the weights.
    """
    here = here or machine()
    found: dict[str, Any] = {}  # name to tower
    how: dict[str, str] = {}
    changed = cache(lambda how: made(how(copy.deepcopy(towers.model))))
    for name, given in probe.items():
        expected = getattr(towers, name)(*given)
        for said, make in ways(name, given, towers, changed, here):
            try:
                faster = make()
                if faster is None:
                    continue
                worst, apart = fidelity({name: expected}, {name: faster(*given)})
            except Exception as exc:  # noqa: BLE001  whatever a way raises, there is another
                log.warning("%s %s cannot be %s: %s: %s", towers.family, name, said, type(exc).__name__, exc)
                continue
            if worst >= SAME and apart >= APART:
                log.info("%s %s: %s, cosine %.5f, %.4f without the mean", towers.family, name, said, worst, apart)
                found[name], how[name] = faster, said
                break
            log.warning(
                "%s %s are not %s: off, cosine %.4f, %.4f without the mean", towers.family, name, said, worst, apart
            )
    left = [name for name in ("texts", "images", "sounds") if getattr(towers, name) is not None and name not in found]
    how |= dict.fromkeys(left, "transformers, float32")
    return replace(towers, model=towers.model if left else None, how=how, **found)


def ways(
    name: str, given: tuple[Any, ...], towers: Towers, changed: Callable[[Change], Towers], here: Machine
) -> Iterator[Way]:
    """How a tower could be made faster, best first. `changed` gives the towers of a copy of the model."""
    import torch

    def fitting(change: Change) -> Tower:
        call, cells = getattr(changed(change), name), TOKENS if name == "texts" else ROWS
        return Fitting(call, torch.OutOfMemoryError, torch.cuda.empty_cache, cells=cells)

    for precision in here.precisions:
        dtype = getattr(torch, precision)
        if here.device == "cuda":
            yield f"{precision} on the GPU", partial(fitting, methodcaller("to", "cuda", dtype))
            continue
        yield f"fused, {precision}", partial(tower, name, towers, dtype)
        if name == "sounds" and precision != "float16" and vino.installed():
            yield f"OpenVINO, {precision}", partial(vino.sounds, towers.model, given[0], precision)
        if dtype is torch.bfloat16:
            yield f"packed, {precision}", lambda: getattr(changed(packed), name)


def fidelity(reference: Mapping[str, Float], others: Mapping[str, Float]) -> tuple[float, float]:
    """The least cosine of a row with its reference, and the least mean of it after centring on the reference's mean.

    Random or untrained towers give all inputs nearly one vector: the first alone would see nothing there.
    """
    worst, apart = 1.0, 1.0
    for name in reference:
        rows, mine = unit(reference[name]), unit(others[name])
        mean = rows.mean(axis=0)
        worst = min(worst, float(cosines(rows, mine).min()))
        if len(rows) > 1 and np.linalg.norm(rows - mean) > 1e-6:
            apart = min(apart, float(cosines(rows - mean, mine - mean).mean()))
    return worst, apart


def cosines(ones: Float, others: Float) -> Float:
    """Row by row."""
    out: Float = (unit(ones) * unit(others)).sum(axis=1)
    return out


def unit(rows: Float) -> Float:
    """Rows of length 1."""
    out: Float = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return out
