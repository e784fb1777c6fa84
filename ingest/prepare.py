"""Bytes to segments: the whole of what indexing asks of this room."""

from __future__ import annotations

from core.errors import UnsupportedMedia
from core.types import Modality, Segment
from ingest.decode.image import decode_image
from ingest.decode.text import decode_text
from ingest.limits import Limits
from ingest.segment import windows


def prepare(data: bytes, *, modality: Modality, media_type: str, limits: Limits, side: int) -> list[Segment]:
    """Segments by growing ordinal, at least one; or Refused, and nothing else, whatever the bytes are.

    `side` is what images are brought to later, in pixels: they may be reduced to twice that. 0: native size.
    """
    limits.check("bytes", len(data))
    match modality:
        case Modality.TEXT:
            segments = windows(decode_text(data, limits=limits))
        case Modality.IMAGE:
            segments = [Segment(0, decode_image(data, limits=limits, side=side))]
        case _:
            raise UnsupportedMedia(f"no decoder for {modality} ({media_type}) is installed")
    limits.check("segments", len(segments))
    return segments
