"""Two sets of captioned photos that Debian packages: cut-outs (tuxpaint stamps) and natural ones (gcompris).

Both are under the GPL or are collections of free works: they are downloaded into the cache and never committed.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.debian import CACHE, debian
from benchmarks.rcc import members

DRAWN = ("cartoon", "symbols", "roadsigns", "mirror", "outline", "silo")  # in a path: no photo, or one twice
COLOURS = 100  # a photo has more; a drawing of flat areas fewer
ALBUMS = ("erase", "explore_monuments", "categorization", "explore_world_animals", "explore_farm_animals")


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture as PNG or WebP bytes, and what is known of it. `key` is unique, `folder` is its class."""

    key: str  # tuxpaint/animals/birds/owl, gcompris/categorization/tools/hammer3
    data: bytes
    english: str
    chinese: str  # empty when there is none

    @property
    def folder(self) -> str:
        """The path without the name."""
        return self.key.rpartition("/")[0]


def flat(data: bytes) -> Image.Image:
    """RGB: on white where it is transparent."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return ground.convert("RGB")


def colours(data: bytes) -> int:
    """How many colours, of 32 768, the opaque part of a picture has."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    opaque = pixels[pixels[..., 3] > 128][:, :3].astype(np.uint32) >> 3
    return len(np.unique(opaque @ np.array([1024, 32, 1], np.uint32)))


def captions(text: str) -> tuple[str, str]:
    """English and simplified Chinese of a stamp's text file: the first line, and the one for zh_CN."""
    lines = text.splitlines()
    chinese = next((line.partition("=")[2] for line in lines if line.startswith("zh_CN.utf8=")), "")
    return (lines[0].strip() if lines else ""), chinese.strip()


def stamps(cache: Path = CACHE) -> Iterator[Photo]:
    """The photos among the tuxpaint stamps, by path."""
    root = debian("tuxpaint-stamps-default", cache) / "usr/share/tuxpaint/stamps"
    for path in sorted(root.rglob("*.png")):
        key = path.relative_to(root).with_suffix("").as_posix()
        said = path.with_suffix(".txt")
        if any(word in key for word in DRAWN) or not said.exists():
            continue
        data = path.read_bytes()
        english, chinese = captions(said.read_text("utf-8"))
        if english and colours(data) >= COLOURS:
            yield Photo(f"tuxpaint/{key}", data, english, chinese)


def spoken(stem: str) -> str:
    """A caption from a file's name: `northernHarrier2` is a northern harrier."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\d]+", " ", stem).split()
    return " ".join(words).lower()


def albums(cache: Path = CACHE) -> Iterator[Photo]:
    """The natural photos of gcompris, by path; letters and numbers are left out."""
    root = debian("gcompris-qt-data", cache) / "usr/share/gcompris-qt/rcc"
    found = []
    for album in ALBUMS:
        for path, data in members((root / f"{album}.rcc").read_bytes()):
            inner = path.split("/resource/", 1)[-1].replace("images/", "").replace("animals/", "")
            if path.endswith(".webp") and not re.search(r"alphabets|numbers|icon|background", path):
                stem = inner.removesuffix(".webp")
                found.append(Photo(f"gcompris/{album}/{stem}", data, spoken(stem.rpartition("/")[2]), ""))
    yield from sorted(found, key=lambda photo: photo.key)


def photos(cache: Path = CACHE) -> list[Photo]:
    """Both sets. Raises NoPackage."""
    return [*stamps(cache), *albums(cache)]


def by_caption(held: Iterable[Photo], caption: Callable[[Photo], str]) -> dict[str, list[str]]:
    """Caption to the photos that have it; those without one are left out."""
    out: dict[str, list[str]] = defaultdict(list)
    for photo in held:
        if said := caption(photo):
            out[said].append(photo.key)
    return dict(out)


def classmates(held: Sequence[Photo]) -> dict[str, list[str]]:
    """Photo to the others of its class: of its folder, or of its folder and name; those without any are left out."""
    groups: dict[str, list[str]] = defaultdict(list)
    for photo in held:
        groups[photo.folder if photo.key.startswith("tuxpaint") else f"{photo.folder}/{photo.english}"].append(
            photo.key
        )
    return {key: [k for k in group if k != key] for group in groups.values() if len(group) > 1 for key in group}


def lay_out(held: Sequence[Photo], folder: Path, *, captions: bool = False) -> Path:
    """The folder, with the photos as files at their keys, without a suffix: Quiver goes by content, and ids are keys.
    With `captions` a text beside each is its English one."""
    for photo in held:
        path = folder / photo.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.data)
        if captions:
            path.with_name(f"{path.name}.txt").write_text(photo.english, "utf-8")
    return folder
