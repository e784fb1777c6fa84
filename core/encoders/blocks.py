"""A layer of a transformer as few passes over memory: its three projections in one, sums and activations on the way.

Vaswani et al. 2017, "Attention Is All You Need"; with the norm before each half (CLIP, SigLIP, DINOv2) or after (BERT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.encoders.packed import Linear, linear, quick

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Where the parts of a layer are in the module of transformers."""

    query: str
    key: str
    value: str
    out: str
    up: str
    down: str
    first: str  # norms: of attention
    second: str  # of the feed-forward half
    scales: tuple[str, str] | None = None  # of what each half adds (LayerScale: Touvron et al. 2021)
    before: bool  # whether norms come before their half


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A layer."""

    qkv: Linear
    out: Linear
    up: Linear
    down: Linear
    first: Norm
    second: Norm
    heads: int
    before: bool

    def __call__(
        self, x: torch.Tensor, mask: torch.Tensor | None, *, causal: bool, at: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(n, tokens, width) to the same; to (n, 1, width), of token `at[i]` of each row, where only that is asked."""
        import torch

        n, tokens, width = x.shape
        split = self.qkv(self.first(x) if self.before else x).view(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        if at is not None:
            rows = torch.arange(n)
            x = x[rows, at][:, None]
            query = query[rows, :, at][:, :, None]
            if causal:  # what a token sees of those behind it: nothing
                mask, causal = (torch.arange(tokens) <= at[:, None])[:, None, None], False
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        seen = seen.transpose(1, 2).reshape(n, -1, width)
        if self.before:
            x = self.out(seen, x)
            return self.down(self.up(self.second(x)), x)
        x = self.first(self.out(seen, x))
        return self.second(self.down(self.up(x), x))


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """Ba et al. 2016, "Layer Normalization"."""

    weight: torch.Tensor
    bias: torch.Tensor
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Over the last axis."""
        import torch

        return torch.nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


def norm(layer: Any, dtype: torch.dtype) -> Norm:
    """Of torch's own. Raises AttributeError for another kind."""
    return Norm(layer.weight.detach().to(dtype), layer.bias.detach().to(dtype), layer.eps)


def block(layer: Any, names: Names, *, heads: int, activation: str, dtype: torch.dtype) -> Block:
    """Of a module of transformers in float32. Raises AttributeError for one that is built otherwise, KeyError for an
    activation that is not known."""
    import torch

    query, key, value, out, up, down = (
        layer.get_submodule(name) for name in (names.query, names.key, names.value, names.out, names.up, names.down)
    )
    raised, bias, lowered, added = up.weight, up.bias, down.weight, down.bias
    out_weight, out_bias = out.weight, out.bias
    if activation == "quick_gelu":
        raised, bias, lowered = quick(raised, bias, lowered)
    if names.scales is not None:
        one, other = (layer.get_parameter(name) for name in names.scales)
        out_weight, out_bias = one[:, None] * out_weight, one * out_bias
        lowered, added = other[:, None] * lowered, other * added
    joined = None if query.bias is None else torch.cat([query.bias, key.bias, value.bias])
    return Block(
        qkv=linear(torch.cat([query.weight, key.weight, value.weight]), joined, dtype),
        out=linear(out_weight, out_bias, dtype),
        up=linear(raised, bias, dtype, activation),
        down=linear(lowered, added, dtype),
        first=norm(layer.get_submodule(names.first), dtype),
        second=norm(layer.get_submodule(names.second), dtype),
        heads=heads,
        before=names.before,
    )
