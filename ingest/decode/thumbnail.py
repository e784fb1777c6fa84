"""Small pictures for people to look at."""

from __future__ import annotations

import io

import PIL.Image

from core.types import Image

THUMBNAIL = 240  # pixels on the longer side


def thumbnail(image: Image) -> bytes:
    """A JPEG of at most THUMBNAIL pixels on its longer side."""
    picture = PIL.Image.fromarray(image.pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
