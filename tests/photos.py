"""Small real pictures, as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM")


def picture(width: int = 64, height: int = 48, *, seed: int = 0) -> PIL.Image.Image:
    """A smooth gradient with a red upper left quarter, so that turning it shows; the seed changes the rest."""
    y, x = np.mgrid[0:height, 0:width]
    shade = np.stack([x * 120 // width, y * 200 // height, np.full_like(x, (seed * 53 + 60) % 256)], axis=-1)
    shade[: height // 2, : width // 2] = (230, 10, 10)
    return PIL.Image.fromarray(shade.astype(np.uint8), "RGB")


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file of that Pillow format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(kind: str = "JPEG", width: int = 64, height: int = 48, *, seed: int = 0, **options: Any) -> bytes:
    """A small real file of that Pillow format."""
    return saved(picture(width, height, seed=seed), kind, **options)


def turned(orientation: int, *, kind: str = "JPEG", width: int = 64, height: int = 48) -> bytes:
    """A file whose EXIF says how the stored picture is to be turned."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return photo(kind, width, height, exif=exif)


def huge_png(width: int = 20_000, height: int = 10_000) -> bytes:
    """A valid 1-bit PNG of a few tens of kilobytes that decodes to width x height black pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeezed = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(squeezed.compress(row * min(1000, height - at)) for at in range(0, height, 1000))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body + squeezed.flush()) + chunk(b"IEND", b"")
