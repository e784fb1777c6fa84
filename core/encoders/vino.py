"""Modules of torch computed by OpenVINO, where it is installed: of use to convolutions, which torch is slow at on a
CPU."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from core.encoders.towers import Float

if TYPE_CHECKING:
    import torch

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("openvino") is not None


def compiled(module: Any, example: Float, precision: str) -> Callable[[Float], Float]:
    """The module, f32 (n, ...) to f32 (n, ...), for every n. `example` is an input of several rows. Takes seconds.

    Safe to call from several threads: each call is computed by one thread, as torch is held to. Raises RuntimeError or
    its like for a module that it cannot read.
    """
    # Its converter tells its makers of each use when this package is there: nothing of it leaves this machine.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))  # None: there is no such module
    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of folders it leaves open, and of what it traces, which is tried afterwards
        import openvino
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # Traced once: to trace it again and compare takes seconds, and imports a good part of torch that stays.
        given, once = torch.from_numpy(example), {"check_trace": False}
        read = openvino.convert_model(TorchScriptPythonDecoder(module, example_input=given, trace_kwargs=once))
    read.reshape([-1, *example.shape[1:]])
    lanes = len(os.sched_getaffinity(0))
    threads = {"NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": lanes, "ENABLE_CPU_PINNING": False}
    model = openvino.Core().compile_model(read, "CPU", threads | {"INFERENCE_PRECISION_HINT": _HINTS[precision]})
    here = threading.local()

    def run(given: Float) -> Float:
        if not hasattr(here, "request"):
            here.request = model.create_infer_request()
        out: Float = here.request.infer(given, share_inputs=True)[0].copy()
        return out

    return run


def sounds(model: Any, example: Float, precision: str) -> Callable[[Float], Float]:
    """The tower of CLAP for sounds: log mel spectrograms, f32 (n, 1, frames, mels), to rows."""
    import torch

    class Sounds(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, mels: torch.Tensor) -> torch.Tensor:
            longer = torch.zeros(mels.shape[0], 1, dtype=torch.bool)
            out: torch.Tensor = self.model.get_audio_features(input_features=mels, is_longer=longer).pooler_output
            return out

    return compiled(Sounds(), example, precision)
