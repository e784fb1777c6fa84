"""Bytes to segments: the whole of what indexing asks of this room."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO

from core.errors import UnsupportedMedia
from core.types import Modality, Piece, Segment, Wants
from ingest.decode.document import decode_document
from ingest.decode.image import decode_image
from ingest.limits import Limits

Pieces = Generator[Piece, None, None]

HELD = 32 * 2**20  # bytes of content in one piece, and one segment more


def prepare(source: BinaryIO, *, modality: Modality, media_type: str, limits: Limits, wants: Wants) -> Pieces:
    """Segments by growing ordinal, at least one, in pieces of which the last says so; or Refused, and nothing else,
    whatever the bytes are. `source` can seek."""
    limits.check("bytes", source.seek(0, 2))
    source.seek(0)
    count = 0
    for piece in pieces(_segments(source, modality=modality, media_type=media_type, limits=limits, wants=wants)):
        count += len(piece.segments)
        limits.check("segments", count)
        yield piece


def pieces(segments: Iterator[Segment]) -> Iterator[Piece]:
    """The same segments, as many at once as may be held."""
    run: list[Segment] = []
    held = 0
    for segment in segments:
        if run and held > HELD:
            yield Piece(run, last=False)
            run, held = [], 0
        run.append(segment)
        held += segment.content.nbytes
    yield Piece(run, last=True)


def whole(made: Iterator[Piece]) -> list[Segment]:
    """All segments of what is known to be small."""
    return [segment for piece in made for segment in piece.segments]


def _segments(
    source: BinaryIO, *, modality: Modality, media_type: str, limits: Limits, wants: Wants
) -> Iterator[Segment]:
    match modality:
        case Modality.TEXT:
            yield from decode_document(source, media_type=media_type, limits=limits, wants=wants)
        case Modality.IMAGE:
            yield Segment(0, decode_image(source.read(), limits=limits, side=wants.pixels))
        case _:
            raise UnsupportedMedia(f"no decoder for {modality} ({media_type}) is installed")
