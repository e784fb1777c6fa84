"""The data that ship beside the packaged encoders: label embeddings, means, concepts and lexicons."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.encoders.words import Lexicon

DATA = Path(__file__).with_name("data")
Float = NDArray[np.float32]


def digest(*names: str) -> str:
    """12 hex digits over the bytes of data files: a space whose data change has another fingerprint."""
    return hashlib.sha256(b"".join((DATA / name).read_bytes() for name in names)).hexdigest()[:12]


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Frozen means that are taken off before vectors are compared, and the texts' embeddings of the classes."""

    labels: Float  # (1000, 512), unit rows
    text: Float  # (512,)
    image: Float  # (512,)
    visual: Float  # (1280,)


@cache
def means() -> Means:
    """From labels.npz."""
    with np.load(DATA / "labels.npz", allow_pickle=False) as held:
        labels = held["labels"].astype(np.float32)
        labels /= np.linalg.norm(labels, axis=1, keepdims=True)
        return Means(labels, held["text_mean"], held["image_mean"], held["visual_mean"])


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """The visual concepts: a name for each, what classes are under it, and what it is a kind of."""

    names: tuple[str, ...]
    leaves: tuple[tuple[int, ...], ...]
    above: tuple[tuple[int, ...], ...]  # nodes whose leaves include all of this one's; itself among them


@cache
def nodes() -> Nodes:
    """From concepts.json.gz."""
    held = json.loads(gzip.decompress((DATA / "concepts.json.gz").read_bytes()))
    leaves, above = (tuple(map(tuple, held[part])) for part in ("leaves", "above"))
    return Nodes(tuple(held["names"]), leaves, above)


@cache
def lexicon() -> Lexicon:
    """English and Chinese words to nodes, from english.json.gz and chinese.json.gz."""
    out: dict[str, dict[int, float]] = {}
    for name in ("english.json.gz", "chinese.json.gz"):
        held: dict[str, list[int]] = json.loads(gzip.decompress((DATA / name).read_bytes()))
        for word, flat in held.items():  # node, percent, node, percent, ...
            out[word] = {node: percent / 100 for node, percent in zip(flat[::2], flat[1::2], strict=True)}
    return out
