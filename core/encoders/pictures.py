"""Pictures prepared for a model as the PIL processors of transformers do it, without torchvision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL.Image import Resampling

from core.encoders.files import PREPROCESSOR, PROCESSOR, read_json, said_by
from core.encoders.resizing import Resize, by_pillow
from core.errors import BadModel
from core.types import Image

STRIP = 16  # an image that would be enlarged to more than so many times what is kept of it is cut first

Float = NDArray[np.float32]

_PROCESSOR = re.compile(r"(clip|siglip|chineseclip|bit)(?:ImageProcessor|FeatureExtractor)(?:Fast|Pil)?", re.IGNORECASE)
# What transformers assumes where a preprocessor's file is silent; Chinese-CLIP's and BiT's processors assume as CLIP's.
_SILENT = dict[str, Any](do_resize=True, do_rescale=True, do_normalize=True, rescale_factor=1 / 255, resample=3)
_CLIP = {"size": 224, "do_center_crop": True, "crop_size": 224, "image_mean": [0.48145466, 0.4578275, 0.40821073]}
_CLIP |= {"image_std": [0.26862954, 0.26130258, 0.27577711]}
_SIGLIP = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@dataclass(frozen=True, slots=True)
class Picture:
    """How an image is prepared: resized to `size` (one number: the shorter side), its middle cut out, normalised."""

    size: tuple[int] | tuple[int, int]  # (shorter side) or (height, width)
    crop: tuple[int, int]  # height, width
    resample: int  # of PIL
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, image: Image, resize: Resize = by_pillow) -> Float:
        """f32 (3, height, width), bit for bit what transformers makes of all but long strips, when Pillow resizes."""
        h, w = image.pixels.shape[:2]
        short = (self.size[0], self.size[0] * w // h) if h <= w else (self.size[0] * h // w, self.size[0])
        height, width = self.size if len(self.size) == 2 else short
        down, across = self.crop
        top, left = (height - down) // 2, (width - across) // 2
        how = Resampling(self.resample)
        if width * height <= STRIP * down * across:
            cut = resize(image.pixels, (height, width), how)[top : top + down, left : left + across]
        else:  # enlarge only what is kept, or 1 x 20000 pixels would take gigabytes; rounded elsewhere
            box = (left * w / width, top * h / height, (left + across) * w / width, (top + down) * h / height)
            cut = np.asarray(Pictures.fromarray(image.pixels).resize((across, down), how, box=box))
        mean, std = (np.array(given, np.float32) for given in (self.mean, self.std))
        out: Float = (cut.astype(np.float32) * np.float32(self.factor) - mean) / std
        return out.transpose(2, 0, 1)


def picture_of(folder: Path, usual: str) -> Picture:
    """From processor_config.json when it speaks of images, else from preprocessor_config.json, as transformers does.

    `usual` is the kind of processor when neither says one: clip, siglip, chineseclip or bit. Raises BadModel.
    """
    said = said_by(folder / PROCESSOR).get("image_processor") or read_json(folder / PREPROCESSOR)
    said = {name: value for name, value in said.items() if value is not None or name.startswith("do_")}  # null: not do
    kind = said.get("image_processor_type") or said.get("feature_extractor_type") or f"{usual}ImageProcessor"
    known = _PROCESSOR.fullmatch(kind)
    if known is None:
        raise BadModel(
            f"{folder}: its images are prepared by {kind}; only those of CLIP, SigLIP, ChineseCLIP and Bit can be read"
        )
    said = _SILENT | (_SIGLIP if known[1].lower() == "siglip" else _CLIP) | said
    size: tuple[int] | tuple[int, int]
    match {"shortest_edge": said["size"]} if isinstance(said["size"], int) else said["size"]:
        case {"height": int(height), "width": int(width), **rest} if not any(rest.values()):
            size = height, width
        case {"shortest_edge": int(short), **rest} if not any(rest.values()):
            size = (short,)
        case other:
            raise BadModel(f"{folder}: its preprocessor's size is {other}; shortest_edge or height, width can be read")
    crop = size if len(size) == 2 else (0, 0)  # none: images of every shape
    if said.get("do_center_crop"):
        cut = said["crop_size"]
        crop = (cut, cut) if isinstance(cut, int) else (int(cut["height"]), int(cut["width"]))
    if not (said["do_resize"] and 0 < crop[0] <= size[0] and 0 < crop[1] <= size[-1]):
        raise BadModel(f"{folder}: its preprocessor does not bring every image to one size: correct {PREPROCESSOR}")
    normal = said["do_normalize"]
    return Picture(
        size=size,
        crop=crop,
        resample=int(Resampling(said["resample"])),
        factor=float(said["rescale_factor"]) if said["do_rescale"] else 1.0,
        mean=tuple(map(float, said["image_mean"])) if normal else (0.0,),
        std=tuple(map(float, said["image_std"])) if normal else (1.0,),
    )
