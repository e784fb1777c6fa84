"""Picture bytes to upright RGB pixels, with Pillow.

The formats are those that people have and that Pillow reads by itself: not EPS, say, for which it runs Ghostscript.
Pillow's own limit is set once, here; the limit that a user sees is checked against the header on every call.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray

# Registered now: Pillow's lazy registration is not meant to be raced by threads.
from PIL import (  # noqa: F401  imported for their registration
    AvifImagePlugin,
    BmpImagePlugin,
    CurImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    IcnsImagePlugin,
    IcoImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PcxImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    QoiImagePlugin,
    SgiImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from core.errors import CorruptMedia, Refused, TooLarge, UnsupportedMedia
from core.timing import part
from core.types import Image, Wants
from ingest.decode.jpeg import jpeg_pixels
from ingest.limits import MOST_PIXELS, Limits

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with further pictures behind the first, as phones write it
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "PPM": "image/x-portable-anymap",
    "JPEG2000": "image/jp2",
    "PSD": "image/vnd.adobe.photoshop",
    "ICO": "image/vnd.microsoft.icon",
    "CUR": "image/vnd.microsoft.icon",
    "ICNS": "image/icns",
    "QOI": "image/qoi",
    "DDS": "image/vnd-ms.dds",
    "SGI": "image/x-sgi",
    "PCX": "image/vnd.zbrush.pcx",
    "TGA": "image/x-tga",
}
_PROBED = tuple(name for name in MEDIA_TYPES if name != "MPO")  # found through JPEG
_CODED = ("AVIF", "HEIF")  # whose codec reads the header too: in the child that decodes, and not by who sniffs

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a lane has one core
PIL.Image.MAX_IMAGE_PIXELS = MOST_PIXELS
warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks about metadata, one for each odd photo
warnings.filterwarnings("error", category=PIL.Image.DecompressionBombWarning)

LONG = 8  # times the side wanted: a squashed picture's long side is reduced to no less than that
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4 A: how to turn the stored picture to see it upright
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def probe(source: BinaryIO, *, limits: Limits) -> str:
    """The media type, from the header alone. Raises CorruptMedia, TooLarge; leaves the stream open, anywhere."""
    with seam(limits), _open(source, limits, _PROBED) as picture:
        return MEDIA_TYPES[picture.format or ""]


def decode_image(data: bytes, *, limits: Limits, side: int) -> Image:
    """The first frame, or the picture itself, as `upright`. Raises CorruptMedia, TooLarge, UnsupportedMedia. Safe to
    call from several threads."""
    with opened(data, limits=limits) as picture:
        return still(data, picture, limits=limits, side=side)


@contextmanager
def opened(data: bytes, *, limits: Limits) -> Iterator[PIL.Image.Image]:
    """A picture of which only the header was read. Raises as `decode_image`, also for what happens inside."""
    with seam(limits):
        if data[4:8] == b"ftyp":
            _register_heif()
        with _open(io.BytesIO(data), limits, _PROBED + _CODED) as picture:
            yield picture


def still(data: bytes, picture: PIL.Image.Image, *, limits: Limits, side: int) -> Image:
    """The only picture of these bytes, on which `picture` was opened, as `upright`."""
    pixels = jpeg_pixels(data, picture, side)
    if pixels is None:
        return upright(picture, limits=limits, side=side)
    small, turn = _reduced(PIL.Image.fromarray(pixels), side), _UPRIGHT.get(_orientation(picture))
    return Image(pixels) if turn is None and small.size == pixels.shape[1::-1] else _image(small, turn)


def upright(picture: PIL.Image.Image, *, limits: Limits, side: int) -> Image:
    """The frame that it stands at: upright, on white where it was transparent.

    With a `side` the short side may be reduced, but to no less than twice that: a JPEG is then decoded at a fraction
    of its size (libjpeg scales while it inverts the DCT). 0: native size.
    """
    if side:
        picture.draft(None, (2 * side, 2 * side))
    picture.load()
    check_size(picture, limits)  # what is inside an icon may be larger than the icon says
    turn = _UPRIGHT.get(_orientation(picture))  # after loading: a PNG may have it last, a TIFF is turned by now
    small = _reduced(_eight_bit(picture), side)
    rgb = _on_white(small) if small.has_transparency_data else small.convert("RGB")
    return _image(rgb, turn)


def _image(rgb: PIL.Image.Image, turn: PIL.Image.Transpose | None) -> Image:
    turned = rgb.transpose(turn) if turn is not None else rgb
    return Image(np.array(turned))  # a copy: what Pillow lends cannot be written to


def reduced(image: Image, wants: Wants) -> Image:
    """No larger than that is of use: of a picture that somebody wanted larger, and is done with, or of a panorama.

    Its short side stays at least twice the pixels wanted. Where pictures are squashed, its long side stays below 16
    times them: what is longer than four to one may lose its shape, which nobody looks at.
    """
    height, width = image.pixels.shape[:2]
    even = _factor(width, height, wants.pixels)
    long = LONG * wants.pixels if wants.squashed else 0
    across, down = (max(even, length // long if long else 1) for length in (width, height))
    if across == down == 1:
        return image
    with part("resize"):
        return Image(np.array(PIL.Image.fromarray(image.pixels).reduce((across, down))))


def check_size(picture: PIL.Image.Image, limits: Limits) -> None:
    """Raises CorruptMedia for a picture without pixels, TooLarge for one with too many."""
    width, height = picture.size
    if not width or not height:
        raise CorruptMedia(f"the image is {width} x {height} pixels: there is nothing to see")
    limits.check("pixels", width * height, what=f"{width} x {height} = {width * height:,} pixels")


@cache
def _register_heif() -> None:
    import pi_heif  # of use to few files, and slow to import

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.register_heif_opener()


@contextmanager
def seam(limits: Limits) -> Iterator[None]:
    """Whatever Pillow raises, and on arbitrary bytes it raises nearly everything, becomes Refused."""
    try:
        yield
    except Refused:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as exc:
        raise TooLarge(limits.over("pixels", f"more than {MOST_PIXELS:,} pixels")) from exc
    except MemoryError as exc:
        raise TooLarge("the image does not fit into memory: make it smaller") from exc
    except PIL.UnidentifiedImageError as exc:
        raise CorruptMedia("the image's header cannot be read: repair it or ingest another copy") from exc
    except Exception as exc:
        said = str(exc) or type(exc).__name__
        raise CorruptMedia(f"the image is damaged ({said}): repair it or ingest another copy") from exc


def _open(source: BinaryIO, limits: Limits, formats: tuple[str, ...]) -> PIL.Image.Image:
    picture = PIL.Image.open(source, formats=formats)
    check_size(picture, limits)
    return picture


def _orientation(picture: PIL.Image.Image) -> int:
    try:
        said = picture.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001  a photo whose EXIF is damaged is still a photo
        return 1
    return said if isinstance(said, int) else 1


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture in a mode that can be averaged: L, LA, RGB, RGBA or CMYK."""
    match picture.mode:
        case "1" | "L" | "RGB" if "transparency" in picture.info:
            return picture.convert("RGBA")
        case "L" | "LA" | "RGB" | "RGBA" | "CMYK":
            return picture
        case "1":
            return picture.convert("L")
        case "P" | "PA":
            return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        case "YCbCr" | "HSV" | "RGBX":
            return picture.convert("RGB")
        case "I" | "F" | "I;16" | "I;16L" | "I;16B" | "I;16N":
            return PIL.Image.fromarray(_deep(np.asarray(picture)))
        case mode:
            raise UnsupportedMedia(f"the image's colours are {mode}: convert it to RGB")


def _deep(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values of more than eight bits as u8, the same shape.

    16 bits keep the upper eight. A wider range, or fractions, say nothing of what is white: the extremes become black
    and white.
    """
    if values.dtype.kind == "u" or (values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 0xFFFF):
        return (values >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)


def _reduced(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    factor = _factor(*picture.size, side)
    return picture.reduce(factor) if factor > 1 else picture


def _factor(width: int, height: int, side: int) -> int:
    return max(1, min(width, height) // (2 * side)) if side else 1


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    over = picture.convert("RGBA")
    paper = PIL.Image.new("RGBA", over.size, "white")
    return PIL.Image.alpha_composite(paper, over).convert("RGB")
