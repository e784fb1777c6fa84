"""Bytes to segments: the whole of what indexing asks of this room."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from time import process_time
from types import ModuleType
from typing import BinaryIO

from core.types import Image, Modality, Piece, Segment, Wants
from ingest.decode.document import decode_document
from ingest.decode.frames import decode_pictures
from ingest.decode.image import reduced
from ingest.decode.svg import decode_svg
from ingest.kinds import SVG
from ingest.limits import Limits, size_limit

Pieces = Generator[Piece, None, None]

HELD = 16 * 2**20  # bytes of content in one piece, and one segment more; both sides of a cage hold them
WORK = 5.0  # seconds of processor time that go into one piece, and one segment more: a cage allows so much a piece


def prepare(source: BinaryIO, *, modality: Modality, media_type: str, limits: Limits, wants: Wants) -> Pieces:
    """Segments by growing ordinal, at least one, in pieces of which the last says so; or Refused, and nothing else,
    whatever the bytes are. `source` can seek."""
    limits.check(size_limit(media_type), source.seek(0, 2))
    source.seek(0)
    count = 0
    for piece in pieces(_segments(source, modality=modality, media_type=media_type, limits=limits, wants=wants)):
        count += len(piece.segments)
        limits.check("segments", count)
        yield piece


def pieces(segments: Iterator[Segment]) -> Iterator[Piece]:
    """The same segments, as many at once as may be held, or are made in a while."""
    run: list[Segment] = []
    held, began = 0, process_time()
    for segment in segments:
        if run and (held > HELD or process_time() - began > WORK):
            yield Piece(run, last=False)
            run, held, began = [], 0, process_time()
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
        case Modality.IMAGE if media_type.startswith("video/"):  # what a film looks like, for people
            yield _media().decode_still(source, limits=limits, side=wants.pixels)
        case Modality.IMAGE if media_type == SVG:
            yield Segment(0, decode_svg(source.read(), limits=limits, side=wants.pixels))
        case Modality.IMAGE:
            for segment in decode_pictures(source.read(), limits=limits, side=wants.pixels):
                if wants.squashed and isinstance(segment.content, Image):
                    segment = replace(segment, content=reduced(segment.content, wants))
                yield segment
        case Modality.AUDIO | Modality.VIDEO:
            yield from _media().decode_media(source, modality=modality, limits=limits, wants=wants)


def _media() -> ModuleType:
    from ingest.decode import media  # FFmpeg is slow to load, and most files need none of it

    return media
