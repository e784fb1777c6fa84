"""Bytes to segments, where the settings say: in the cage, or in this process."""

from __future__ import annotations

from typing import BinaryIO

from core.runtime.wiring import Parts
from core.types import Modality, Segment
from ingest.limits import Limits
from ingest.prepare import prepare
from workers.cage import cage_of


def limits_of(parts: Parts) -> Limits:
    """The limits that the settings give."""
    said = parts.settings
    return Limits(
        bytes=said.max_bytes,
        pixels=said.max_pixels,
        text_chars=said.max_text_chars,
        metadata_bytes=said.max_metadata_bytes,
        segments=said.max_segments,
    )


def decode(parts: Parts, source: bytes | BinaryIO, *, modality: Modality, media_type: str, side: int) -> list[Segment]:
    """The segments of a file, images at no less than twice `side` pixels. In the cage, but for text: reading UTF-8 runs
    no codec. Raises Refused, DecoderDown."""
    limits = limits_of(parts)
    if modality is Modality.TEXT or parts.settings.decode == "inline":
        data = source if isinstance(source, bytes) else source.read()
        return prepare(data, modality=modality, media_type=media_type, limits=limits, side=side)
    return cage_of(parts).prepare(source, modality=modality, media_type=media_type, limits=limits, side=side)
