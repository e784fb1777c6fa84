"""Sounds and films to segments, as streams: what is held does not grow with their length.

Damage: a stretch that cannot be decoded is left out; when too much is, or the file breaks off before the end that it
declares, it is refused (`Media.check_whole`). A format that declares no end is as long as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import av

from core.errors import CorruptMedia, EmptyMedia, NoSpaceFor
from core.types import Content, Modality, Segment, Span, Wants
from ingest.decode.container import Media, opened, ready, seconds
from ingest.decode.shots import SHORTEST, Lens, Shots
from ingest.decode.sound import Ear
from ingest.limits import Limits

FEW = 300.0  # seconds of film in which every picture is looked at
NEAR = 2.0  # seconds between key frames that are near enough to look at these alone
_SURVEYED = 60.0  # seconds of film in which the distance of key frames is measured

Part = tuple[Content, Span]


def decode_media(source: BinaryIO, *, modality: Modality, limits: Limits, wants: Wants) -> Iterator[Segment]:
    """Shots of a film and windows of its sound, or of a sound, each as soon as its end is known: the same for the same
    bytes. Raises CorruptMedia, UnsupportedMedia, TooLarge, EmptyMedia, NoSpaceFor."""
    looks = modality is Modality.VIDEO and Modality.IMAGE in wants.contents
    survey = _survey(source, limits) if looks else (0.0, False)
    ordinal = 0
    with opened(source, limits=limits) as media:
        for ordinal, (content, span) in enumerate(_parts(media, looks, survey, wants), 1):
            yield Segment(ordinal - 1, content, span)
        media.check_whole()
        if not ordinal:
            raise CorruptMedia("nothing of it can be decoded: ingest another copy")


def decode_still(source: BinaryIO, *, limits: Limits, side: int) -> Segment:
    """A film as one picture: a key frame after a tenth of it, for films often begin with black."""
    with opened(source, limits=limits) as media:
        stream = media.pictures
        if stream is None:
            raise NoSpaceFor("there are no pictures in it")
        ready(stream, skip="NONKEY")
        lens = Lens(limits, side, float(stream.sample_aspect_ratio or 1))
        for at in (media.declared / 10, 0.0):
            media.container.seek(round((media.begins + at) * av.time_base))
            for packet in media.container.demux(stream):
                for frame in media.decoded(packet):
                    return Segment(0, lens.picture(frame))
        raise CorruptMedia("none of its pictures can be decoded: ingest another copy")


def _parts(media: Media, looks: bool, survey: tuple[float, bool], wants: Wants) -> Iterator[Part]:
    film = media.pictures if looks else None
    sound = media.sound if Modality.AUDIO in wants.contents else None
    if film is None and sound is None:
        _nothing(media, wants)
    length, keys = survey
    shots = Shots(
        Lens(media.limits, wants.pixels, float(film.sample_aspect_ratio or 1) if film else 1.0),
        shortest=max(SHORTEST, length / max(1, media.limits.frames - 1)),
    )
    ear = Ear(rate=wants.rate, seconds=wants.seconds)
    if film is not None:
        ready(film, skip="NONKEY" if keys else "NONREF" if length > FEW else "DEFAULT")
    if sound is not None:
        ready(sound)
    shown = 0.0
    for packet in media.demuxed():
        if packet.stream is film:
            for frame in media.decoded(packet):
                shown = max(shown, (frame.time or shown + media.begins) - media.begins)
                if not frame.is_corrupt:
                    yield from shots.show(frame, shown)
        elif packet.stream is sound:
            for frame in media.decoded(packet):
                yield from ear.hear(frame, None if frame.time is None else frame.time - media.begins)
    yield from shots.end(max(shown, min(media.reached, shown + NEAR)))
    yield from ear.end()


def _nothing(media: Media, wants: Wants) -> None:
    """Raises what says why a file has neither pictures nor sound to give."""
    if not media.container.streams.audio and media.pictures is None:
        raise EmptyMedia("there is neither sound nor film in it")
    held = "sound" if media.pictures is None else "pictures"
    raise NoSpaceFor(f"it holds {held} alone, and nothing here embeds {held}: {', '.join(sorted(wants.contents))} only")


def _survey(source: BinaryIO, limits: Limits) -> tuple[float, bool]:
    """How long a film is, and whether its key frames alone say enough of it. Decodes nothing, reads no more than it
    must."""
    with opened(source, limits=limits) as media:
        film = media.pictures
        keys: list[float] = []
        for packet in media.demuxed() if film is not None else ():
            if packet.stream is film and packet.is_keyframe and packet.pts is not None and film is not None:
                keys.append(seconds(film, packet.pts))
            if media.declared and media.reached > _SURVEYED:
                break
        length = media.declared or media.reached
        near = len(keys) > 1 and all(b - a <= NEAR for a, b in pairwise([*keys, media.reached + media.begins]))
        return length, near and length > FEW
