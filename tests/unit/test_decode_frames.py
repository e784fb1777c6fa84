"""Formats beyond the common ones, animations, and scans of several pages."""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import PIL.Image
import pytest

from core.errors import CorruptMedia, TooLarge
from core.types import Image, Segment
from ingest.decode.frames import ANIMATION, decode_pictures
from ingest.limits import Limits
from ingest.sniff import sniff
from tests.heic import heic
from tests.photos import huge_png, photo, picture, saved

LIMITS = Limits()


def segments(data: bytes, *, limits: Limits = LIMITS, side: int = 0) -> list[Segment]:
    return list(decode_pictures(data, limits=limits, side=side))


def pixels(segment: Segment) -> np.ndarray:
    assert isinstance(segment.content, Image)
    return segment.content.pixels


def animation(kind: str, count: int = 12, **options: Any) -> bytes:
    """Frames from blue to red."""
    frames = [PIL.Image.new("RGB", (40, 30), (i * 255 // count, 0, 255 - i * 255 // count)) for i in range(count)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize(
    ("kind", "media_type", "by"),
    [
        ("ICO", "image/vnd.microsoft.icon", 1),
        ("ICNS", "image/icns", 1),
        ("JPEG2000", "image/jp2", 3),
        ("PCX", "image/vnd.zbrush.pcx", 1),
        ("SGI", "image/x-sgi", 1),
        ("TGA", "image/x-tga", 1),
        ("DDS", "image/vnd-ms.dds", 1),
        ("QOI", "image/qoi", 1),
        ("AVIF", "image/avif", 6),
    ],
)
def test_rarer_formats_are_known_and_seen(kind, media_type, by):
    data = saved(picture(128, 128), kind)
    assert sniff(io.BytesIO(data), name="x", limits=LIMITS).media_type == media_type
    [found] = segments(data)
    shown = np.asarray(PIL.Image.fromarray(pixels(found)).resize((128, 128), PIL.Image.Resampling.BOX))
    assert np.abs(shown.astype(int) - np.asarray(picture(128, 128)).astype(int)).mean() <= by


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_photo_of_a_phone_is_seen_upright(turns):
    stored = np.asarray(picture(128, 96))
    data = heic(stored, turns=turns)
    assert sniff(io.BytesIO(data), name="IMG_1.JPG", limits=LIMITS).media_type == "image/heic"
    [found] = segments(data)
    assert np.abs(pixels(found).astype(int) - np.rot90(stored, turns).astype(int)).mean() < 3
    small = pixels(segments(heic(np.asarray(picture(512, 384)), turns=turns), side=32)[0])
    assert 64 <= min(small.shape[:2]) < 128


def test_a_photoshop_file_is_seen_as_its_composite():
    stored = np.asarray(picture(64, 48))
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 48, 64, 8, 3) + bytes(12)
    [found] = segments(head + b"\0\0" + stored.transpose(2, 0, 1).tobytes())
    assert (pixels(found) == stored).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_is_sampled_evenly_with_its_seconds(kind):
    found = segments(animation(kind, duration=250))
    assert [segment.ordinal for segment in found] == list(range(ANIMATION))
    reds = [int(pixels(segment)[5, 5, 0]) for segment in found]
    assert reds == sorted(reds)
    assert reds[0] < 30 < 200 < reds[-1]
    spans = [(segment.span.start, segment.span.end) for segment in found if segment.span]
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(3.0)
    assert all(a[1] == b[0] < b[1] for a, b in pairwise(spans))
    for segment, (start, end) in zip(found, spans, strict=True):
        frame = round(int(pixels(segment)[5, 5, 0]) / 255 * 12)
        assert start <= frame * 0.25 < end + 0.26


def test_a_short_animation_gives_every_frame_and_a_limit_holds():
    assert len(segments(animation("GIF", 3, duration=100))) == 3
    assert len(segments(animation("GIF", 12, duration=100), limits=Limits(frames=2))) == 2


def test_an_animation_that_does_not_say_how_long_frames_last_has_no_seconds():
    assert [segment.span for segment in segments(animation("PNG", 4, duration=0))] == [None] * 4


def test_an_animation_that_would_take_for_ever_is_looked_at_as_far_as_the_work_goes():
    found = segments(animation("GIF", 40, duration=100), limits=Limits(pixels=1200))
    assert found[-1].span is not None
    assert found[-1].span.end == pytest.approx(1.0)  # ten frames of forty: ten times the limit of pixels


def test_the_pages_of_a_scan_are_segments_in_order():
    found = segments(animation("TIFF", 12))
    assert [segment.ordinal for segment in found] == list(range(12))
    assert [segment.span for segment in found] == [None] * 12
    assert [int(pixels(segment)[5, 5, 0]) for segment in found] == [i * 255 // 12 for i in range(12)]
    thinned = segments(animation("TIFF", 12), limits=Limits(frames=3))
    assert [int(pixels(segment)[5, 5, 0]) for segment in thinned] == [i * 255 // 12 for i in (0, 4, 8)]


def test_the_smaller_copies_in_a_tiff_are_no_pages():
    frames = [PIL.Image.new("RGB", (size, size), "red") for size in (64, 32, 16)]
    for copy in frames[1:]:
        copy.encoderinfo = {"tiffinfo": {254: 1}}
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    [found] = segments(data)
    assert pixels(found).shape == (64, 64, 3)


def test_a_damaged_page_costs_the_scan():
    data = animation("TIFF", 3)
    with pytest.raises(CorruptMedia):
        segments(data[:-1500])


def test_an_icon_that_holds_more_than_it_says_is_refused():
    inside = huge_png(12_000, 10_000)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside
    assert len(icon) < 100_000
    with pytest.raises((TooLarge, CorruptMedia)):
        segments(icon, limits=Limits(pixels=1_000_000))


@pytest.mark.parametrize("size", [(60_000, 100), (100, 60_000)])
def test_a_long_strip_inside_the_limits_is_seen_whole(size):
    found = pixels(segments(photo("PNG", *size), side=20)[0])
    assert (found.shape[1], found.shape[0]) == (size[0] // 2, size[1] // 2)
    assert found[2, 2].tolist() == [230, 10, 10]
