"""Towers of the usual shape computed by our own blocks: pictures of CLIP, Chinese-CLIP, SigLIP and DINOv2, texts of
CLIP, SigLIP, Chinese-CLIP, CLAP, BERT, DistilBERT and RoBERTa with its like.

What a tower begins and ends with is small, and is transformers' own module in float32: only the layers are ours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from core.encoders.blocks import Block, Names, block
from core.encoders.packed import linear
from core.encoders.towers import Float, Ids, Towers

if TYPE_CHECKING:
    import torch

_VIT = Names(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    out="self_attn.out_proj",
    up="mlp.fc1",
    down="mlp.fc2",
    first="layer_norm1",
    second="layer_norm2",
    before=True,
)
_DINO = Names(
    query="attention.q_proj",
    key="attention.k_proj",
    value="attention.v_proj",
    out="attention.o_proj",
    up="mlp.fc1",
    down="mlp.fc2",
    first="norm1",
    second="norm2",
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
    before=True,
)
_BERT = Names(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    first="attention.output.LayerNorm",
    second="output.LayerNorm",
    before=False,
)
_DISTILBERT = Names(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    out="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    first="sa_layer_norm",
    second="output_layer_norm",
    before=False,
)
_LIKE_BERT = ("bert", "camembert", "roberta", "xlm-roberta")  # MPNet's and ModernBERT's place tokens otherwise

Layers = Sequence[Block]
Part = Callable[["torch.Tensor"], "torch.Tensor"]
Place = Part  # token ids (n, t) to a place in each row (n,)


def tower(name: str, towers: Towers, dtype: torch.dtype) -> Callable[..., Float] | None:
    """The tower of that name, `texts` or `images`; None for a model of another shape.

    Raises AttributeError, KeyError, RuntimeError for one that seems to have it and has not.
    """
    of: Any = towers.model
    match towers.family, name:
        case "clip", "texts":
            text = of.text_model
            layers = _layers(text.encoder.layers, _VIT, text.config, dtype)
            return _texts(
                text.embeddings,
                layers,
                _at_end(text.eos_token_id),
                _then(text.final_layer_norm, of.text_projection),
                causal=True,
            )
        case "siglip", "texts":
            text = of.text_model
            layers = _layers(text.encoder.layers, _VIT, text.config, dtype)
            return _texts(text.embeddings, layers, _last, _then(text.final_layer_norm, text.head))
        case "chinese-clip", "texts":
            text = of.text_model
            layers = _layers(text.encoder.layer, _BERT, text.config, dtype)
            return _texts(text.embeddings, layers, _first, _then(of.text_projection))
        case "bert", "texts" if of.config.model_type in (*_LIKE_BERT, "distilbert"):
            distilled = of.config.model_type == "distilbert"
            found = of.transformer.layer if distilled else of.encoder.layer
            layers = _layers(found, _DISTILBERT if distilled else _BERT, of.config, dtype)
            return _texts(of.embeddings, layers, None if towers.pooling == "mean" else _first, _then())
        case "clap", "texts":
            text = of.text_model
            layers = _layers(text.encoder.layer, _BERT, text.config, dtype)
            pool, project = text.pooler, of.text_projection
            return _texts(text.embeddings, layers, _first, lambda x: project(pool(x[:, None])))
        case "clip" | "chinese-clip", "images":
            seen = of.vision_model
            layers = _layers(seen.encoder.layers, _VIT, seen.config, dtype)
            after = _then(seen.post_layernorm, of.visual_projection)
            return _pictures(seen.embeddings, layers, towers.side, after, before=_then(seen.pre_layrnorm))
        case "siglip", "images":
            seen = of.vision_model
            layers = _layers(seen.encoder.layers, _VIT, seen.config, dtype)
            head = [copy.deepcopy(part).to(dtype) for part in (seen.post_layernorm, seen.head)]
            return _pictures(seen.embeddings, layers, towers.side, _then(*head), pooled=False)
        case "dinov2", "images":
            layers = _layers(of.encoder.layer, _DINO, of.config, dtype)
            return _pictures(of.embeddings, layers, towers.side, _then(of.layernorm))
        case _:
            return None


def _layers(found: Any, names: Names, config: Any, dtype: torch.dtype) -> Layers:
    activation = config.activation if config.model_type == "distilbert" else config.hidden_act
    return [
        block(layer, names, heads=config.num_attention_heads, activation=activation, dtype=dtype) for layer in found
    ]


def _texts(
    embed: Part, layers: Layers, place: Place | None, after: Part, *, causal: bool = False
) -> Callable[[Ids, Ids], Float]:
    """`place` says which token becomes the row; None: the mean of all that are read."""
    import torch

    @torch.inference_mode()  # torch keeps it per thread
    def run(ids: Ids, mask: Ids) -> Float:
        given, read = torch.from_numpy(ids), torch.from_numpy(mask)
        # Under a causal mask no token sees the padding behind it.
        seen = None if causal or bool(mask.all()) else read.bool()[:, None, None]
        x = embed(given).to(layers[0].first.weight.dtype)
        for layer in layers[:-1]:
            x = layer(x, seen, causal=causal)
        if place is not None:
            x = layers[-1](x, seen, causal=causal, at=place(given))[:, 0].float()
        else:
            shares = read[..., None].float()
            x = (layers[-1](x, seen, causal=causal).float() * shares).sum(1) / shares.sum(1)
        out: Float = after(x).numpy()
        return out

    return run


def _pictures(
    embed: Any, layers: Layers, side: tuple[int, int], after: Part, *, before: Part | None = None, pooled: bool = True
) -> Callable[[Float], Float]:
    """Of the first token, or of all when not `pooled`."""
    import torch

    dtype = layers[0].first.weight.dtype
    with torch.inference_mode():
        still = embed(torch.zeros(1, 3, *side))  # what tokens begin with besides what is seen: place, class, registers
        project = next(module for module in embed.modules() if isinstance(module, torch.nn.Conv2d))
        down, across = project.kernel_size
        rows, columns = side[0] // down, side[1] // across
        lead = still.shape[1] - rows * columns
        patch = linear(project.weight.flatten(1), None, dtype)
        places = still[:, lead:].to(dtype)

    @torch.inference_mode()
    def run(pictures: Float) -> Float:
        n = len(pictures)
        cut = torch.from_numpy(pictures).to(dtype).view(n, 3, rows, down, columns, across)
        flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, -1)
        x = patch(flat, places.expand(n, -1, -1).contiguous())
        if lead:
            x = torch.cat([still[:, :lead].to(dtype).expand(n, -1, -1), x], dim=1)
        if before is not None:
            x = before(x.float()).to(dtype)
        for layer in layers[:-1]:
            x = layer(x, None, causal=False)
        if pooled:
            x = layers[-1](x, None, causal=False, at=torch.zeros(n, dtype=torch.long))[:, 0].float()
        else:
            x = layers[-1](x, None, causal=False)
        out: Float = after(x).float().numpy()
        return out

    return run


def _then(*parts: Any) -> Part:
    return lambda x: reduce(lambda made, part: part(made), parts, x)


def _first(ids: torch.Tensor) -> torch.Tensor:
    return ids.new_zeros(len(ids))


def _last(ids: torch.Tensor) -> torch.Tensor:
    return ids.new_full((len(ids),), ids.shape[1] - 1)


def _at_end(token: int) -> Place:
    """The first such token; of old checkpoints, which name another, the largest, as transformers finds it."""
    return lambda ids: (ids if token == 2 else (ids == token).int()).argmax(dim=1)
