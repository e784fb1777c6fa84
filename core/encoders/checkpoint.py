"""Checkpoints of CLIP and SigLIP, in a folder or the Hugging Face Hub: what their small files say, no weight loaded.

Images are prepared here as the PIL processors of transformers do it, without torchvision.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from core.encoders.sentences import RECIPE as READ
from core.errors import BadModel
from core.spaces import EmbeddingSpace, Metric
from core.types import Image, Modality

SAMPLE = 4096  # bytes of each tensor that its digest covers
STRIP = 16  # an image that would be enlarged to more than so many times what is kept of it is cut first
CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
SMALL = [CONFIG, PREPROCESSOR, PROCESSOR, *TOKENIZERS, "merges.txt", "tokenizer_config.json"]
SMALL += ["special_tokens_map.json", "added_tokens.json"]
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"

Float = NDArray[np.float32]
Family = Literal["clip", "siglip"]

_PROCESSOR = re.compile(r"(clip|siglip)(?:ImageProcessor|FeatureExtractor)(?:Fast|Pil)?", re.IGNORECASE)
# What transformers assumes where a preprocessor's file is silent.
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

    def prepare(self, image: Image) -> Float:
        """f32 (3, height, width), bit for bit what transformers makes of all but long strips."""
        h, w = image.pixels.shape[:2]
        short = (self.size[0], self.size[0] * w // h) if h <= w else (self.size[0] * h // w, self.size[0])
        height, width = self.size if len(self.size) == 2 else short
        down, across = self.crop
        top, left = (height - down) // 2, (width - across) // 2
        whole, how = Pictures.fromarray(image.pixels), Pictures.Resampling(self.resample)
        if width * height <= STRIP * down * across:
            cut = whole.resize((width, height), how).crop((left, top, left + across, top + down))
        else:  # enlarge only what is kept, or 1 x 20000 pixels would take gigabytes; rounded elsewhere
            box = (left * w / width, top * h / height, (left + across) * w / width, (top + down) * h / height)
            cut = whole.resize((across, down), how, box=box)
        mean, std = (np.array(given, np.float32) for given in (self.mean, self.std))
        out: Float = (np.asarray(cut, np.float32) * np.float32(self.factor) - mean) / std
        return out.transpose(2, 0, 1)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder's small files say of a model, no weight loaded."""

    folder: Path
    family: Family
    tokens: int  # the most that the text tower reads
    picture: Picture
    space: EmbeddingSpace


def snapshot(name: str, revision: str | None) -> Path:
    """The folder of a hub model, named by its commit: the cached one when there is one, else downloaded. BadModel."""
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    files = [*SMALL, SHARDS, "model*.safetensors"]
    try:
        cached = Path(snapshot_download(name, revision=revision, allow_patterns=files, local_files_only=True))
        if (cached / CONFIG).is_file() and weights(cached):
            return cached
    except (LocalEntryNotFoundError, ValueError):  # ValueError: no name the hub could know
        pass
    get = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    if is_offline_mode():
        raise BadModel(
            f"{name} is no folder, the Hugging Face cache does not have its config.json and safetensors, and "
            f"HF_HUB_OFFLINE is set: download it with `{get}` where there is a network, or name a folder"
        )
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except Exception as exc:
        raise BadModel(f"{name} is no folder here and cannot be downloaded: try `{get}` ({exc})") from exc


def read(folder: Path, model: str, revision: str) -> Checkpoint:
    """What the checkpoint in a folder is, from its small files. Raises BadModel, or ValueError and its like."""
    config = _json(folder / CONFIG)
    found = config.get("model_type")
    family: Family = "siglip" if found == "siglip" else "clip"
    if found != family:
        raise BadModel(f"{folder} is of model_type {found!r}; clip and siglip (SigLIP 2 of one resolution) are read")
    if not weights(folder):
        raise BadModel(
            f"{folder} has no {WEIGHTS}: pickled weights (pytorch_model.bin) are never read. Convert them once, in a "
            'folder of yours: python -c "from transformers import AutoModel as M; '
            "M.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
        )
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise BadModel(f"{folder} has no tokenizer: copy tokenizer.json, or vocab.json and merges.txt, from its origin")
    text = (config.get("text_config") or {}) | (config.get("text_config_dict") or {})
    vision = (config.get("vision_config") or {}) | (config.get("vision_config_dict") or {})
    width = text.get("projection_size") or text.get("hidden_size", 768)
    side, picture = vision.get("image_size", 224), _picture(folder, family)
    if picture.crop != (side, side):
        raise BadModel(f"{folder}: its preprocessor makes {picture.crop}, its model reads {side} pixels: correct one")
    tokens = int(text.get("max_position_embeddings", 77 if family == "clip" else 64))
    space = EmbeddingSpace(
        name="clip",
        model=model,
        revision=revision,
        dim=int(width if family == "siglip" else config.get("projection_dim", 512)),
        metric=Metric.COSINE,
        modalities=frozenset({Modality.TEXT, Modality.IMAGE}),
        recipe=f"text: {READ}, {tokens} tokens; image: {picture}; float32",
    )
    return Checkpoint(folder, family, tokens, picture, space)


def _picture(folder: Path, family: Family) -> Picture:
    """From processor_config.json when it speaks of images, else from preprocessor_config.json, as transformers does."""
    said = _json(folder / PROCESSOR).get("image_processor") if (folder / PROCESSOR).is_file() else None
    said = said or _json(folder / PREPROCESSOR)
    said = {name: value for name, value in said.items() if value is not None or name.startswith("do_")}  # null: not do
    kind = said.get("image_processor_type") or said.get("feature_extractor_type") or f"{family}ImageProcessor"
    known = _PROCESSOR.fullmatch(kind)
    if known is None:
        raise BadModel(f"{folder}: its images are prepared by {kind}; only those of CLIP and SigLIP can be read")
    said = _SILENT | (_CLIP if known[1].lower() == "clip" else _SIGLIP) | said
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
        resample=int(Pictures.Resampling(said["resample"])),
        factor=float(said["rescale_factor"]) if said["do_rescale"] else 1.0,
        mean=tuple(map(float, said["image_mean"])) if normal else (0.0,),
        std=tuple(map(float, said["image_std"])) if normal else (1.0,),
    )


def digest(folder: Path) -> str:
    """12 hex digits of sha-256: small files whole; of weights size, header and the middle 4 KiB of each tensor, which
    training or merging changes: an edit that spares them is not seen. Raises BadModel when weights are cut short."""
    sha = hashlib.sha256()
    for path in (folder / name for name in SMALL):
        if path.is_file():
            sha.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for path in weights(folder):
        size = path.stat().st_size
        with path.open("rb") as file:  # safetensors: a length of 8 bytes, a header of JSON, the tensors end to end
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length < size else b"{}"
            spans = sorted(t["data_offsets"] for name, t in json.loads(header).items() if name != "__metadata__")
            if not spans or 8 + length + max(end for _, end in spans) != size:
                raise BadModel(f"{path} is cut short, or the pointer of git-lfs to a file: download it again")
            sha.update(f"{path.name}\0{size}\0".encode() + header)
            for start, end in spans:
                file.seek(8 + length + max(start, (start + end - SAMPLE) // 2))
                sha.update(file.read(min(SAMPLE, end - start)))
    return sha.hexdigest()[:12]


def weights(folder: Path) -> list[Path]:
    """The files of weights that transformers would read; none when there are none or not all."""
    paths = [folder / WEIGHTS]
    if not paths[0].is_file() and (folder / SHARDS).is_file():
        paths = [folder / name for name in sorted(set(_json(folder / SHARDS)["weight_map"].values()))]
    return paths if all(path.is_file() for path in paths) else []


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadModel(f"{path.parent} has no {path.name}: copy it from the checkpoint's origin")
    try:
        return dict(json.loads(path.read_bytes()))
    except (TypeError, ValueError) as exc:
        raise BadModel(f"{path} is not JSON: copy it again from the checkpoint's origin ({exc})") from exc
