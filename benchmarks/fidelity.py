"""How near the fast paths come to the reference: cosine of rows, and how many of their ten nearest neighbours stay.

    python -m benchmarks.fidelity

Real weights: EfficientNet-Lite2 and all-MiniLM-L6-v2. ViT-B/32 and SigLIP-B/16 are drawn at random as transformers
initialises them: all pictures have nearly one vector then, so the cosine is taken without the mean, too, and what is
nearest says little.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
import transformers
from PIL.Image import Resampling

from benchmarks.minilm import minilm
from benchmarks.photos import make_photos
from benchmarks.prose import sentences
from core.encoders import efficientnet, vino
from core.encoders.batches import by_tokens
from core.encoders.fast import cosines, unit
from core.encoders.fused import tower
from core.encoders.machine import multiplies_halves
from core.encoders.packed import packed
from core.encoders.pictures import Picture
from core.encoders.resizing import by_pillow, resized
from core.encoders.threads import one_a_lane
from core.encoders.towers import Float, Towers
from core.types import Image
from ingest.decode.image import decode_image
from ingest.limits import Limits

OUT = Path("docs/benchmarks/fidelity.json")
PHOTOS, TEXTS, NEAREST = 60, 300, 10
CLIP = Picture(
    size=(224,),
    crop=(224, 224),
    resample=Resampling.BICUBIC,
    factor=1 / 255,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


class Way(NamedTuple):
    """A faster way and the reference it is held to."""

    model: str
    real: bool  # whether its weights were learned
    name: str
    reference: Float
    made: Float


def precisions() -> list[torch.dtype]:
    """Those that this machine gains by."""
    return [torch.float32, *([torch.bfloat16] if multiplies_halves() else [])]


def word(dtype: torch.dtype) -> str:
    """Its name."""
    return str(dtype).removeprefix("torch.")


def photos() -> list[Path]:
    """Small, middling and large ones."""
    return make_photos(Path(".cache/bench/fidelity"), PHOTOS)


def whole(path: Path) -> Image:
    """Every pixel, by Pillow."""
    return Image(np.array(PIL.Image.open(path).convert("RGB")))


def quick(path: Path, side: int) -> Image:
    """As a lane decodes it."""
    return decode_image(path.read_bytes(), limits=Limits(), side=side)


def packaged(paths: list[Path]) -> Iterator[Way]:
    """EfficientNet-Lite2 on photos decoded whole and resized by Pillow, and on what is made of them otherwise."""
    engine = vino.installed
    vino.installed = lambda: False
    plain = efficientnet.load()
    vino.installed = engine
    side = efficientnet.PIXELS

    def features(images: list[Image], forward: efficientnet.Forward = plain, resize: Any = by_pillow) -> Float:
        made = [resize(image.pixels, (side, side), Resampling.BICUBIC).astype(np.float32) for image in images]
        rows = (np.stack(made).transpose(0, 3, 1, 2) - 127.0) / 128.0
        return np.concatenate([forward(rows[at : at + 16].astype(np.float32))[0] for at in range(0, len(rows), 16)])

    full = [whole(path) for path in paths]
    reduced = [quick(path, side) for path in paths]
    expected = features(full)
    yield Way("EfficientNet-Lite2", True, "resized by torch", expected, features(full, resize=resized))
    yield Way("EfficientNet-Lite2", True, "JPEG decoded at a fraction", expected, features(reduced))
    yield Way("EfficientNet-Lite2", True, "both: what is done", expected, features(reduced, resize=resized))
    if vino.installed():
        yield Way("EfficientNet-Lite2", True, "OpenVINO, float32", expected, features(full, efficientnet.load()))


def pictures(name: str, family: Any, model: Any, given: Float) -> Iterator[Way]:
    """A tower of pictures with random weights."""

    def rows(run: Callable[[Float], Float]) -> Float:
        return np.concatenate([run(given[at : at + 8]) for at in range(0, len(given), 8)])

    def reference(of: Any) -> Callable[[Float], Float]:
        @torch.inference_mode()
        def run(some: Float) -> Float:
            out: Float = of.get_image_features(torch.from_numpy(some).to(of.dtype)).pooler_output.float().numpy()
            return out

        return run

    expected = rows(reference(model))
    for dtype in precisions():
        made = tower("images", Towers(family=family, model=model, dim=expected.shape[1], side=(224, 224)), dtype)
        assert made is not None
        yield Way(name, False, f"fused, {word(dtype)}", expected, rows(made))
    if multiplies_halves():
        yield Way(name, False, "packed, bfloat16", expected, rows(reference(packed(copy.deepcopy(model)))))


def texts() -> Iterator[Way]:
    """all-MiniLM-L6-v2 on sentences of our documents."""
    folder = minilm()
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)
    said = list(islice(sentences(), TEXTS))
    lengths = [len(row) for row in words(said)["input_ids"]]

    def rows(run: Callable[..., Float]) -> Float:
        out = np.zeros((len(said), model.config.hidden_size), np.float32)
        for some in by_tokens(lengths):
            given = words([said[i] for i in some], padding=True, return_tensors="np")
            out[some] = run(given["input_ids"].astype(np.int64), given["attention_mask"].astype(np.int64))
        return out

    def reference(of: Any) -> Callable[..., Float]:
        @torch.inference_mode()
        def run(ids: Any, mask: Any) -> Float:
            read = torch.from_numpy(mask)[..., None]
            states = of(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state.float()
            out: Float = ((states * read).sum(1) / read.sum(1)).numpy()
            return out

        return run

    expected = rows(reference(model))
    for dtype in precisions():
        towers = Towers(family="bert", model=model, dim=expected.shape[1], pooling="mean")
        made = tower("texts", towers, dtype)
        assert made is not None
        yield Way("all-MiniLM-L6-v2", True, f"fused, {word(dtype)}", expected, rows(made))
    if multiplies_halves():
        yield Way("all-MiniLM-L6-v2", True, "packed, bfloat16", expected, rows(reference(packed(copy.deepcopy(model)))))


def kept(reference: Float, made: Float) -> float:
    """The share of each row's nearest among the others that are its nearest in both."""

    def nearest(rows: Float) -> Any:
        near = unit(rows) @ unit(rows).T
        np.fill_diagonal(near, -np.inf)
        return np.argsort(-near, axis=1, kind="stable")[:, :NEAREST]

    pairs = zip(nearest(reference), nearest(made), strict=True)
    return float(np.mean([len(set(one) & set(other)) / NEAREST for one, other in pairs]))


def figures(way: Way) -> dict[str, Any]:
    """A row of the table."""
    rows, made = unit(way.reference), unit(way.made)
    mean = rows.mean(axis=0)
    near = cosines(rows, made)
    return {
        "model": way.model,
        "real": way.real,
        "way": way.name,
        "cos_min": float(near.min()),
        "cos_mean": float(near.mean()),
        "cos_without_mean": float(cosines(rows - mean, made - mean).mean()),
        "kept": kept(rows, made),
    }


def ways() -> Iterator[Way]:
    """All of them."""
    paths = photos()
    yield from packaged(paths)
    yield from texts()
    torch.manual_seed(0)
    of: Any = transformers
    given = np.stack([CLIP.prepare(quick(path, 224)) for path in paths[:24]])
    yield from pictures("ViT-B/32, random", "clip", of.CLIPModel(of.CLIPConfig()).eval(), given)
    yield from pictures("SigLIP-B/16, random", "siglip", of.SiglipModel(of.SiglipConfig()).eval(), given[:16])


def main() -> None:
    """Print the table, write the JSON."""
    one_a_lane()
    rows = []
    print(f"{'model':22}{'way':28}{'cos min':>9}{'mean':>9}{'centred':>9}{'top 10':>8}")
    for way in ways():
        said = figures(way)
        rows.append(said)
        near = f"{said['cos_min']:9.5f}{said['cos_mean']:9.5f}{said['cos_without_mean']:9.5f}"
        print(f"{way.model:22}{way.name:28}{near}{said['kept']:8.3f}", flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"photos": PHOTOS, "texts": TEXTS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
