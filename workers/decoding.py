"""Bytes to segments, where the settings say: in the cage, or in this process."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import BinaryIO

from core.errors import CorruptMedia
from core.records import Collection
from core.runtime.wiring import Parts
from core.types import Audio, Content, Image, Modality, Piece, Reading, Wants
from ingest.decode.document import is_plain
from ingest.limits import Limits
from ingest.prepare import prepare
from workers.cage import cage_of


def limits_of(parts: Parts) -> Limits:
    """The limits that the settings give."""
    said = parts.settings
    return Limits(
        bytes=said.max_bytes,
        media_bytes=said.max_media_bytes,
        pixels=said.max_pixels,
        frames=said.max_frames,
        seconds=said.max_seconds,
        text_chars=said.max_text_chars,
        metadata_bytes=said.max_metadata_bytes,
        segments=said.max_segments,
    )


def wants_of(parts: Parts, collection: Collection, modality: Modality) -> Wants:
    """What encoders and readers of a collection can use of an asset of this modality, all together. The pages of a
    document are pictures only for who reads the writing in them."""
    users = [encoder.wants for encoder in parts.encoders.of_profile(collection.profile)]
    wants = reduce(or_, (*users, *(reader.wants for reader in parts.readers.of(collection.reads))))
    if modality is not Modality.TEXT:
        return wants
    pages = {Modality.IMAGE} if Reading.OCR in collection.reads else set()
    return replace(wants, contents=frozenset({Modality.TEXT, *pages}))


def decode(
    parts: Parts,
    source: bytes | BinaryIO,
    *,
    modality: Modality,
    media_type: str,
    wants: Wants,
    fresh: bool = False,
) -> Generator[Piece, None, None]:
    """The segments of a file, a piece at a time; closing it ends the work. In the cage, but for plain text: reading
    UTF-8 runs no codec. `fresh`: by a process that has decoded nothing before, whose verdict is not asked twice.
    Raises Refused, DecoderDown."""
    limits = limits_of(parts)
    if is_plain(media_type) or parts.settings.decode == "inline":
        held = io.BytesIO(source) if isinstance(source, bytes) else source
        return prepare(held, modality=modality, media_type=media_type, limits=limits, wants=wants)
    caged = cage_of(parts)
    return caged.prepare(source, modality=modality, media_type=media_type, limits=limits, wants=wants, fresh=fresh)


def picture(parts: Parts, source: bytes | BinaryIO, *, media_type: str, side: int) -> Image:
    """An image, or one of a film, at no less than twice `side` pixels. Raises as `decode`."""
    wants = Wants(contents=frozenset({Modality.IMAGE}), pixels=side)
    content = _first(parts, source, Modality.IMAGE, media_type, wants)
    assert isinstance(content, Image)
    return content


def frames(parts: Parts, source: bytes | BinaryIO, *, media_type: str, side: int, most: int = 8) -> list[Image]:
    """Pictures of a film, at most `most` of those that its beginning would be indexed by, evenly spread. Raises as
    `decode`, and CorruptMedia for one that shows none."""
    wants = Wants(contents=frozenset({Modality.IMAGE}), pixels=side)
    with closing(decode(parts, source, modality=Modality.VIDEO, media_type=media_type, wants=wants)) as pieces:
        shown = [s.content for s in next(pieces).segments if isinstance(s.content, Image)]
    if not shown:
        raise CorruptMedia("the film shows nothing: give one with pictures")
    return shown[:: -(-len(shown) // most)]


def sound(parts: Parts, source: bytes | BinaryIO, *, media_type: str, wants: Wants) -> Audio:
    """How a sound begins, or that of a film, at the rate and for as long as somebody `wants`. Raises as `decode`."""
    content = _first(parts, source, Modality.AUDIO, media_type, replace(wants, contents=frozenset({Modality.AUDIO})))
    assert isinstance(content, Audio)
    return content


def _first(parts: Parts, source: bytes | BinaryIO, modality: Modality, media_type: str, wants: Wants) -> Content:
    with closing(decode(parts, source, modality=modality, media_type=media_type, wants=wants)) as pieces:
        return next(pieces).segments[0].content
