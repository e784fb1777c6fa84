"""SVG drawings to RGB pixels, with resvg: no script runs, and nothing outside the file is read.

resvg opens pictures by any path that a drawing names, and a deep tree overflows its stack. So the drawing is parsed
here first, where expat bounds what entities may grow to, and only what is harmless goes on.
"""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import resvg_py

from core.errors import CorruptMedia, TooLarge, UnsupportedMedia
from core.types import Image
from ingest.decode.image import decode_image, opened
from ingest.limits import Limits

SIDE = 512  # pixels of the shorter side when none is asked for: a drawing has no native size
MOST = 2**24  # pixels that are drawn
_DEPTH = 256  # elements within each other
_PICTURE = re.compile(r"\s*data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z%]*)\s*$", re.IGNORECASE)
_DPI = 96.0  # CSS Values 3, 6.2
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": _DPI / 25.4, "cm": _DPI / 2.54, "in": _DPI}


class _Bounded(ElementTree.TreeBuilder):
    """Builds the tree of a drawing; leaves out references to anything that is not in it."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._depth = 0
        self._pixels = 0  # of the pictures in it
        self.texts = False

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self._depth += 1
        if self._depth > _DEPTH:
            raise CorruptMedia(f"the drawing has more than {_DEPTH} elements within each other: flatten it")
        self.texts = self.texts or tag.rpartition("}")[2] == "text"
        kept = {k: v for k, v in attrs.items() if k.rpartition("}")[2] != "href" or self._is_inside(v)}
        return super().start(tag, kept)

    def end(self, tag: str) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)

    def _is_inside(self, href: str) -> bool:
        if href.lstrip().startswith("#"):
            return True
        found = _PICTURE.match(href)
        if found is None:
            return False
        try:
            with opened(base64.b64decode(href[found.end() :]), limits=self._limits) as picture:
                self._pixels += picture.width * picture.height
        except (CorruptMedia, UnsupportedMedia, ValueError):  # it is left out, as a browser does
            return False
        self._limits.check("pixels", self._pixels, what=f"{self._pixels:,} pixels of pictures in a drawing")
        return True


def decode_svg(data: bytes, *, limits: Limits, side: int) -> Image:
    """The drawing on white, its shorter side twice `side`, or less when the longer would take too many pixels.

    Words are drawn with the fonts of this machine. Raises CorruptMedia, TooLarge.
    """
    builder = _Bounded(limits)
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=builder))  # noqa: S314  expat bounds entities
    except (ElementTree.ParseError, LookupError, ValueError) as exc:
        if "amplification" in str(exc):
            raise TooLarge("the drawing's entities grow without end: export it again without them") from exc
        raise CorruptMedia(f"the drawing is no well-formed XML ({exc}): export it again") from exc
    _fit(root, 2 * side or SIDE, limits)
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=ElementTree.tostring(root, encoding="unicode"),
            dpi=_DPI,
            skip_system_fonts=not builder.texts,
        )
    except ValueError as exc:
        if "limit" in str(exc):
            raise TooLarge(f"the drawing is too large to be drawn ({exc}): simplify it") from exc
        raise CorruptMedia(f"the drawing cannot be drawn ({exc}): export it again") from exc
    return decode_image(bytes(png), limits=limits, side=0)


def _fit(root: ElementTree.Element, short: int, limits: Limits) -> None:
    """Give it a size in pixels, in its proportions."""
    numbers = re.findall(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", root.get("viewBox", ""))
    box = [float(number) for number in numbers]
    boxed = len(box) == 4 and 0 < box[2] < float("inf") and 0 < box[3] < float("inf")
    wide, high = _length(root.get("width", "")), _length(root.get("height", ""))
    if wide is None or high is None:
        wide, high = (box[2], box[3]) if boxed else (wide or high or 100.0, high or wide or 100.0)
    if not boxed:
        root.set("viewBox", f"0 0 {wide} {high}")
    ratio = min(max(wide / high, 1e-6), 1e6)
    width, height = (short * ratio, float(short)) if ratio > 1 else (float(short), short / ratio)
    shrink = min(1.0, (min(limits.pixels, MOST) / (width * height)) ** 0.5)
    root.set("width", str(max(1, round(width * shrink))))
    root.set("height", str(max(1, round(height * shrink))))


def _length(said: str) -> float | None:
    """Pixels; None for none that says something by itself."""
    found = _NUMBER.match(said)
    unit = _UNITS.get(found[2].lower()) if found else None
    value = float(found[1]) * unit if found and unit else 0.0
    return value if 0 < value < float("inf") else None
