"""Small pictures for people to look at."""

from __future__ import annotations

import io

import PIL.Image

from ingest.decode.image import decode_image
from ingest.limits import Limits


def thumbnail(data: bytes, *, limits: Limits, side: int = 240) -> bytes:
    """A JPEG of at most `side` pixels on its longer side. Raises Refused as `decode_image` does."""
    picture = PIL.Image.fromarray(decode_image(data, limits=limits, side=side).pixels)
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
