"""What this machine computes models with: asked once, unless a setting says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.errors import Misconfigured

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where models are, and the precisions to be tried there, the fastest first; none: the reference is used."""

    device: Device
    precisions: tuple[Precision, ...]


class _Preferred:
    """Of the whole process, as the threads of torch are: encoders are made by plug-ins that are told nothing."""

    device: Device | Literal["auto"] = "auto"
    precision: Precision | Literal["auto"] = "auto"


def prefer(device: Device | Literal["auto"], precision: Precision | Literal["auto"]) -> None:
    """For models that are loaded from now on."""
    _Preferred.device, _Preferred.precision = device, precision


def machine() -> Machine:
    """Raises Misconfigured when a GPU is asked for and torch reaches none."""
    import torch

    there = torch.cuda.is_available()
    if _Preferred.device == "cuda" and not there:
        raise Misconfigured("QUIVER_DEVICE is cuda, and torch reaches no GPU here: install its CUDA build, or unset it")
    device: Device = "cuda" if there and _Preferred.device != "cpu" else "cpu"
    if _Preferred.precision != "auto":
        return Machine(device, _once(_Preferred.precision, "float32"))
    if device == "cuda":
        return Machine(device, ("bfloat16" if torch.cuda.is_bf16_supported() else "float16", "float32"))
    return Machine(device, ("bfloat16", "float32") if multiplies_halves() else ("float32",))


def place() -> tuple[Device, Precision]:
    """Where a model is that no reference is tried beside, and its precision: the reference's on a CPU. Raises
    Misconfigured."""
    here = machine()
    return here.device, here.precisions[0] if here.device == "cuda" else "float32"


def multiplies_halves() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: AVX512_BF16 and AMX-BF16 of Intel's instruction
    set reference."""
    import torch

    cpu: Any = torch.cpu
    return bool(cpu._is_amx_tile_supported() or cpu._is_avx512_bf16_supported())


def _once(*said: Precision) -> tuple[Precision, ...]:
    return tuple(dict.fromkeys(said))
