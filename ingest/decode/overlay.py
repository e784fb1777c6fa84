"""A picture with what matters in it in red, and a box around the region that matters most."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw

from core.types import Image

SIDE = 640  # pixels on the longer side at most
STRENGTH = 0.6  # of the red where it is strongest

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height


def overlay(image: Image, heat: Sequence[Sequence[float]], box: Box | None) -> bytes:
    """A PNG. `heat` are rows of cells; what is not over 0 stays as it is."""
    picture = PIL.Image.fromarray(image.pixels)
    picture.thumbnail((SIDE, SIDE))
    cells = np.clip(np.asarray(heat, np.float32), 0, None)
    shares = PIL.Image.fromarray(cells / max(float(cells.max(initial=0)), 1e-12)).resize(
        picture.size, PIL.Image.Resampling.BILINEAR
    )
    red = np.asarray(shares)[..., None] * STRENGTH
    mixed = np.asarray(picture, np.float32) * (1 - red) + np.array([255.0, 0.0, 0.0], np.float32) * red
    shown = PIL.Image.fromarray(np.clip(mixed.round(), 0, 255).astype(np.uint8))
    if box is not None:
        wide, high = shown.width - 1, shown.height - 1
        corners = (box[0] * wide, box[1] * high, box[2] * wide, box[3] * high)
        PIL.ImageDraw.Draw(shown).rectangle(corners, outline=(255, 255, 0), width=max(1, min(shown.size) // 100))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return out.getvalue()
