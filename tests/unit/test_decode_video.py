"""Films to shots and windows of sound, each with its seconds."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest

from core.errors import CorruptMedia, EmptyMedia, NoSpaceFor, TooLarge, UnsupportedMedia
from core.types import Audio, Image, Modality, Segment, Wants
from ingest.decode import container, media, shots
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from tests.media import BLUE, FILMS, GREEN, HIGH, LOW, RED, film, sound

LIMITS = Limits()
SEES = Wants(contents=frozenset({Modality.IMAGE}), pixels=16)
BOTH = Wants(contents=frozenset({Modality.IMAGE, Modality.AUDIO}), pixels=16, rate=16_000, seconds=2.0)
NAMES = {"red": RED, "green": GREEN, "blue": BLUE}


def segments(data: bytes, *, wants: Wants = SEES, limits: Limits = LIMITS) -> list[Segment]:
    said: dict[str, Any] = {"modality": Modality.VIDEO, "media_type": "video/x"}
    return whole(prepare(io.BytesIO(data), limits=limits, wants=wants, **said))


def pixels(segment: Segment) -> np.ndarray:
    assert isinstance(segment.content, Image)
    return segment.content.pixels


def colour(segment: Segment) -> str:
    middle = pixels(segment)[pixels(segment).shape[0] // 2, pixels(segment).shape[1] // 2].astype(int)
    return min(NAMES, key=lambda name: int(np.abs(middle - NAMES[name]).sum()))


def span(segment: Segment) -> tuple[float, float]:
    assert segment.span is not None
    assert segment.span.unit == "second"
    return segment.span.start, segment.span.end


def seen(data: bytes, **more: Any) -> list[tuple[str, float, float]]:
    return [(colour(s), *span(s)) for s in segments(data, **more) if isinstance(s.content, Image)]


@pytest.mark.parametrize("kind", FILMS)
def test_a_film_of_every_format_is_cut_where_its_content_changes(kind):
    found = segments(film(kind, rate=25 if kind == "mpg" else 10), wants=BOTH)
    assert [segment.ordinal for segment in found] == list(range(len(found)))
    cuts = [(colour(s), *span(s)) for s in found if isinstance(s.content, Image)]
    assert [name for name, _, _ in cuts] == ["red", "green", "blue"]
    for (_, start, end), at in zip(cuts, (0.0, 3.0, 6.0), strict=True):
        assert start == pytest.approx(at, abs=0.25)
        assert end == pytest.approx(at + 3.0, abs=0.25)
    heard = [s for s in found if isinstance(s.content, Audio)]
    assert [span(s)[0] for s in heard[:-1]] == pytest.approx([1.5 * n for n in range(len(heard) - 1)], abs=0.1)
    assert span(heard[-1])[1] == pytest.approx(9.0, abs=0.15)


def test_the_same_film_gives_the_same_segments():
    data = film("mp4")
    plain = [(s.ordinal, s.span, s.content.modality) for s in segments(data, wants=BOTH)]
    assert plain == [(s.ordinal, s.span, s.content.modality) for s in segments(data, wants=BOTH)]


def test_the_sound_of_a_film_has_the_time_of_the_film():
    data = film("mp4", (RED, GREEN), seconds=4.0, pitches=(LOW, HIGH))
    for segment in segments(data, wants=BOTH):
        if isinstance(segment.content, Audio) and (span(segment)[1] < 3.9 or span(segment)[0] > 4.1):
            power = np.abs(np.fft.rfft(segment.content.samples))
            pitch = np.argmax(power) * 16_000 / len(segment.content.samples)
            assert abs(pitch - (LOW if span(segment)[1] < 4 else HIGH)) < 20


def test_a_film_gives_only_what_is_wanted():
    data = film("mp4")
    assert {s.content.modality for s in segments(data, wants=SEES)} == {Modality.IMAGE}
    hears = Wants(contents=frozenset({Modality.AUDIO}), rate=16_000)
    assert {s.content.modality for s in segments(data, wants=hears)} == {Modality.AUDIO}
    with pytest.raises(NoSpaceFor, match="pictures alone"):
        segments(film("mp4", pitches=()), wants=hears)


def test_a_film_without_sound_is_a_film():
    assert [name for name, _, _ in seen(film("mkv", pitches=()), wants=BOTH)] == ["red", "green", "blue"]


def test_a_picture_is_no_smaller_than_twice_the_side_and_not_much_larger():
    for size in ((320, 96), (96, 320), (48, 32), (20, 20)):
        for segment in segments(film("mp4", (RED,), size=size, seconds=1.0)):
            height, width, _ = pixels(segment).shape
            assert min(width, height) == min(32, *size)
            assert width / height == pytest.approx(size[0] / size[1], rel=0.05)
    [native] = segments(film("mp4", (RED,), size=(320, 96), seconds=1.0), wants=Wants(pixels=0))[:1]
    assert pixels(native).shape == (96, 320, 3)


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_a_film_that_was_held_sideways_is_turned_upright(rotation, corner):
    [found] = segments(film("mp4", (RED,), size=(128, 64), seconds=1.0, rotation=rotation))
    assert pixels(found).shape[:2] == ((64, 32) if rotation % 180 else (32, 64))
    assert pixels(found)[corner].min() > 200
    assert pixels(found)[-1 - corner[0], -1 - corner[1]].min() < 60


def test_pictures_that_come_at_uneven_times_are_cut_at_theirs():
    late = film(
        "mkv", (RED, GREEN), seconds=3.0, pitches=(), times=lambda at: at / 10 if at < 30 else 10 + (at - 30) / 5
    )
    found = seen(late)
    assert [name for name, _, _ in found] == ["red", "green"]
    assert found[1][1] == pytest.approx(10.0, abs=0.25)
    assert found[1][2] == pytest.approx(16.0, abs=0.5)


def test_a_long_shot_is_several_and_each_is_shown_from_near_its_middle(monkeypatch):
    shown: list[float] = []
    real = shots.Lens.picture

    def pictured(lens: shots.Lens, frame: av.VideoFrame) -> Image:
        shown.append(frame.time)
        return real(lens, frame)

    monkeypatch.setattr(shots.Lens, "picture", pictured)
    kept: list[tuple[float, float, float]] = []
    end = shots.Shots.end

    def noted(self: shots.Shots, at: float) -> Any:
        times = [time for time, _ in self._kept]
        for image, where in end(self, at):
            middle = (where.start + where.end) / 2
            kept.append((where.start, where.end, min(times, key=lambda time: abs(time - middle))))
            yield image, where

    monkeypatch.setattr(shots.Shots, "end", noted)
    found = seen(film("mp4", (RED,), seconds=25.0, pitches=()))
    assert [at for _, start, end_ in found for at in (start, end_)] == pytest.approx([0, 10, 10, 20, 20, 25], abs=0.3)
    for start, end_, time in kept:
        assert abs(time - (start + end_) / 2) <= (end_ - start) / 8 + 0.3
    assert len(shown) < 24  # of 250 frames, those that double, and no others are brought to RGB


def test_no_more_than_a_few_pictures_are_held_at_once():
    lens = shots.Lens(LIMITS, 16)
    looking = shots.Shots(lens, shortest=10_000.0)
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
    for at in range(5_000):
        assert not list(looking.show(frame, float(at)))
        assert len(looking._kept) <= 3


def test_cuts_that_follow_each_other_fast_are_thinned_and_every_second_stays_in_a_span():
    found = seen(film("mp4", (RED, GREEN, BLUE) * 10, seconds=0.4, pitches=()))
    assert 5 <= len(found) <= 7  # of thirty, one in two seconds
    assert found[0][1] == 0
    assert all(a[2] == b[1] for a, b in pairwise(found))
    assert found[-1][2] == pytest.approx(12.0, abs=0.3)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_film_gives_no_more_pictures_than_the_limit_and_they_lie_evenly(most):
    found = seen(film("mp4", (RED, GREEN, BLUE) * 5, seconds=2.0, pitches=()), limits=Limits(frames=most))
    assert len(found) <= max(2, most)
    if most == 5:
        assert all(end - start == pytest.approx(7.5, abs=1.0) for _, start, end in found)


@pytest.mark.parametrize("spacing", [1, 5])
def test_of_a_long_film_only_key_frames_are_decoded_when_they_are_near(monkeypatch, spacing):
    monkeypatch.setattr(media, "FEW", 20.0)
    said = []
    real = container.ready

    def ready(stream: Any, *, skip: Any) -> None:
        said.append(skip)
        real(stream, skip=skip)

    monkeypatch.setattr(media, "ready", ready)
    data = film("mp4", (RED, GREEN, BLUE), seconds=10.0, pitches=(), options={"g": str(spacing * 10)})
    found = seen(data)
    assert said == ["NONKEY" if spacing == 1 else "NONREF"]
    assert [name for name, _, _ in found] == ["red", "green", "blue"]
    for (_, start, _), at in zip(found, (0, 10, 20), strict=True):
        assert abs(start - at) <= 2.0


def test_a_film_that_does_not_say_how_long_it_is_is_measured():
    live = film("webm", (RED, GREEN), live="1")
    with av.open(io.BytesIO(live), "r") as opened:
        assert opened.duration is None
    assert media._survey(io.BytesIO(live), LIMITS)[0] == pytest.approx(6.0, abs=0.2)
    assert [name for name, _, _ in seen(live)] == ["red", "green"]


@pytest.mark.parametrize("pixels_", ["yuv444p", "yuv422p10le", "yuv420p10le", "gray"])
def test_odd_pixel_formats_are_seen(pixels_):
    found = segments(film("mkv", (RED, GREEN), pixels=pixels_, codec="ffv1", pitches=()))
    if pixels_ == "gray":
        assert np.ptp(pixels(found[0]), axis=2).max() <= 1
    else:
        assert [colour(s) for s in found] == ["red", "green"]


def test_high_dynamic_range_is_brought_to_what_screens_show():
    lens = shots.Lens(LIMITS, 16)

    def shown(nits: float) -> int:
        y = (nits / 10_000) ** 0.1593017578125  # SMPTE ST 2084, 4.1
        code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
        flat = np.full((64, 64, 3), round(code * 65535), np.uint16)
        frame = av.VideoFrame.from_ndarray(flat, format="rgb48le").reformat(format="yuv420p10le")
        frame.color_trc, frame.color_primaries = 16, 9
        return int(lens.picture(frame).pixels[5, 5].mean())

    assert shown(1) < 40
    assert 170 < shown(100) < 215
    assert shown(203) > 240  # the white of paper: ITU-R BT.2408


def test_narrow_pixels_are_shown_as_wide_as_they_are_seen():
    flat = np.zeros((64, 64, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(flat, format="rgb24")
    assert shots.Lens(LIMITS, 0, 2.0).picture(frame).pixels.shape == (64, 128, 3)
    assert shots.Lens(LIMITS, 0, 0.5).picture(frame).pixels.shape == (128, 64, 3)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "avi", "flv"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_truncated_film_is_refused(kind, share):
    data = film(kind)
    with pytest.raises(CorruptMedia):
        segments(data[: int(len(data) * share)], wants=BOTH)


def test_a_transport_stream_is_as_long_as_it_is():
    data = film("ts")
    assert [name for name, _, _ in seen(data[: len(data) // 2])][:1] == ["red"]


def test_a_film_of_frames_over_the_limit_is_refused_and_one_that_is_too_long():
    with pytest.raises(TooLarge, match="QUIVER_MAX_PIXELS"):
        segments(film("mp4", (RED,), seconds=1.0), limits=Limits(pixels=1000))
    with pytest.raises(TooLarge, match="QUIVER_MAX_SECONDS"):
        segments(film("mp4"), limits=Limits(seconds=5))


def test_a_codec_that_is_not_of_the_list_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(container, "CODECS", container.CODECS - {"h264"})
    with pytest.raises(UnsupportedMedia, match=r"codec h264"):
        segments(film("mp4"))


def test_a_film_that_holds_nothing_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as made:
        made.add_data_stream("ass")
        made.start_encoding()
    with pytest.raises((EmptyMedia, CorruptMedia)):
        segments(out.getvalue())


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "avi"])
def test_a_film_asked_for_as_a_picture_is_one_still(kind):
    data = film(kind, (RED, GREEN, GREEN, GREEN), seconds=2.0)
    [still] = whole(prepare(io.BytesIO(data), modality=Modality.IMAGE, media_type="video/x", limits=LIMITS, wants=SEES))
    assert colour(still) in {"red", "green"}
    assert pixels(still).shape == (32, 43, 3)


def test_sound_asked_for_as_a_picture_is_told_there_is_none():
    with pytest.raises(NoSpaceFor, match="no pictures"):
        whole(
            prepare(io.BytesIO(sound("m4a")), modality=Modality.IMAGE, media_type="video/x", limits=LIMITS, wants=SEES)
        )
