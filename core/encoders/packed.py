"""Linear layers laid out for oneDNN, what follows them computed in the same pass: the one file that uses operators of
torch which are private.

They are those that torch.compile writes into what it makes on a CPU. torch is pinned for them, and whatever is built of
them is tried beside the reference before it is used (`core.encoders.fast`). On a GPU the same is said in public ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# An activation as oneDNN names it: operator, algorithm.
ACTIVATIONS = {
    "": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "gelu_new": ("gelu", "tanh"),
    "quick_gelu": ("swish", ""),  # by `quick` below
    "relu": ("relu", ""),
}
QUICK = 1.702  # x * sigmoid(1.702 x), Hendrycks and Gimpel 2016


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """x @ weight.T + bias, then an activation, or something added."""

    weight: torch.Tensor  # as oneDNN lays it out
    bias: torch.Tensor | None
    activation: str = ""

    def __call__(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        """(..., in) to (..., out), in the type of the weight. `add` has the shape of what comes out."""
        operators = _operators()
        out: torch.Tensor
        if add is not None:
            out = operators._linear_pointwise.binary(x, add, self.weight, self.bias, "add")
        else:
            name, algorithm = ACTIVATIONS[self.activation]
            out = operators._linear_pointwise(x, self.weight, self.bias, name, [], algorithm)
        return out


def linear(weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype, activation: str = "") -> Linear:
    """Of a weight f32 (out, in). Raises KeyError for an activation that oneDNN does not compute along the way."""
    ACTIVATIONS[activation]
    laid = _operators()._reorder_linear_weight(weight.detach().to(dtype).contiguous(), None)
    return Linear(laid, None if bias is None else bias.detach().to(dtype), activation)


def quick(up: torch.Tensor, bias: torch.Tensor, down: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights around a quick GELU as those around a swish: quick(x) = swish(1.702 x) / 1.702."""
    return up * QUICK, bias * QUICK, down / QUICK


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
                setattr(module, name, _packed(child))
    return model


def _packed(layer: Any) -> Any:
    import torch

    class Packed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.empty(0, dtype=layer.weight.dtype)  # some models ask for its type
            self.bias = layer.bias
            self._linear = linear(layer.weight, layer.bias, layer.weight.dtype)

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return self._linear(given)

    with torch.inference_mode():
        return Packed()


def _operators() -> Any:
    import torch

    return torch.ops.mkldnn
