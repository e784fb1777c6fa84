"""Sounds of every kind to windows of one rate."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CorruptMedia, EmptyMedia, NoSpaceFor, Refused, TooLarge
from core.types import Audio, Modality, Segment, Wants
from ingest.decode.sound import Windows
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from ingest.sniff import sniff
from tests.media import HIGH, LOW, MIDDLE, SOUNDS, film, sound, tones

LIMITS = Limits()
HEARS = Wants(contents=frozenset({Modality.AUDIO}), rate=16_000, seconds=1.0)


def windows(data: bytes, *, limits: Limits = LIMITS, wants: Wants = HEARS) -> list[Segment]:
    kind = sniff(io.BytesIO(data), name="", limits=limits)
    made = prepare(io.BytesIO(data), modality=kind.modality, media_type=kind.media_type, limits=limits, wants=wants)
    return whole(made)


def wave(segment: Segment) -> np.ndarray:
    assert isinstance(segment.content, Audio)
    return segment.content.samples


def pitch(segment: Segment) -> float:
    """The strongest frequency of a window, in hertz."""
    assert isinstance(segment.content, Audio)
    power = np.abs(np.fft.rfft(segment.content.samples * np.hanning(len(segment.content.samples))))
    return float(np.argmax(power)) * segment.content.rate / len(segment.content.samples)


@pytest.mark.parametrize("kind", SOUNDS)
def test_every_format_is_heard_at_the_rate_that_is_wanted(kind):
    found = windows(sound(kind))
    assert [segment.ordinal for segment in found] == list(range(len(found)))
    for segment in found:
        assert isinstance(segment.content, Audio)
        assert segment.content.rate == 16_000
        assert segment.content.samples.dtype == np.float32
        assert len(segment.content.samples) == 16_000
        assert segment.span is not None
        assert segment.span.unit == "second"
        assert segment.span.end - segment.span.start == pytest.approx(1.0)
        assert abs(pitch(segment) - MIDDLE) < 10
    assert np.abs(wave(found[1])).max() == pytest.approx(0.5, abs=0.06)
    assert found[-1].span is not None
    assert found[-1].span.end == pytest.approx(2.0, abs=0.11)  # of AAC and WMA the encoder's padding is heard, too


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("wanted", [16_000, 48_000])
def test_resampling_keeps_the_wave_and_its_place_to_the_sample(rate, wanted):
    at = np.arange(3 * rate) / rate
    data = sound("wav", (0.5 * np.sin(2 * np.pi * MIDDLE * at)).astype(np.float32)[None], rate=rate)
    [found] = windows(data, wants=Wants(contents=frozenset({Modality.AUDIO}), rate=wanted, seconds=3.0))
    heard = wave(found)
    assert len(heard) == 3 * wanted
    ideal = 0.5 * np.sin(2 * np.pi * MIDDLE * np.arange(len(heard)) / wanted)
    inside = slice(wanted // 100, -wanted // 100)
    noise = np.mean((heard - ideal)[inside] ** 2)
    assert 10 * np.log10(np.mean(ideal**2) / noise) > 75  # 16 bits of the file allow 92 dB


def test_at_rate_zero_sound_keeps_its_own():
    wants = Wants(contents=frozenset({Modality.AUDIO}), rate=0, seconds=1.0)
    for segment in windows(sound("flac", tones(LOW, rate=22_050), rate=22_050), wants=wants):
        assert isinstance(segment.content, Audio)
        assert segment.content.rate == 22_050
        assert np.abs(segment.content.samples[:100] - tones(LOW, rate=22_050)[0, :100]).max() < 0.01 or segment.ordinal


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_averaged(channels):
    loud = tones(MIDDLE, channels=channels)
    loud[1:] = 0
    heard = wave(windows(sound("wav", loud))[0])
    assert np.abs(heard).max() == pytest.approx(0.5 / channels, rel=0.02)


def test_the_span_of_a_window_is_where_its_sound_is():
    found = windows(sound("wav", tones(LOW, MIDDLE, HIGH, seconds=4.0)))
    for segment in found:
        assert segment.span is not None
        first, last = int(segment.span.start // 4), int((segment.span.end - 1e-6) // 4)
        if first == last:
            assert abs(pitch(segment) - (LOW, MIDDLE, HIGH)[first]) < 10
    assert {segment.span.start for segment in found if segment.span} >= {0.0, 0.75, 1.5, 11.0}


@given(
    st.lists(st.integers(0, 90), max_size=30),
    st.integers(1, 50),
    st.integers(1, 10),
)
def test_windows_are_of_one_length_overlap_by_a_quarter_and_hold_every_sample(pieces, width, rate):
    total = sum(pieces)
    cutter = Windows(rate=rate, seconds=width / rate, begins=3.0)
    feed = np.arange(total, dtype=np.float32)
    found, at = [], 0
    for size in pieces:
        found += list(cutter.feed(feed[at : at + size]))
        at += size
    found += list(cutter.end())
    spans = []
    for audio, span in found:
        start = round((span.start - 3.0) * rate)
        assert audio.samples.tolist() == feed[start : start + len(audio.samples)].tolist()
        assert round((span.end - 3.0) * rate) == start + len(audio.samples)
        assert len(audio.samples) == min(width, total)
        spans.append(start)
    assert {n for start in spans for n in range(start, start + min(width, total))} == set(range(total))
    assert spans == sorted(set(spans))
    hop = max(1, width - width // 4)
    assert all(b - a <= hop for a, b in pairwise(spans))
    assert spans[:-1] == [n * hop for n in range(len(spans) - 1)]


def test_what_is_held_does_not_grow_with_the_length():
    cutter = Windows(rate=100, seconds=10.0, begins=0.0)
    for _ in range(5_000):
        list(cutter.feed(np.zeros(64, np.float32)))
        assert len(cutter._held) <= 3 * 1000


def test_a_float_file_with_infinities_and_nothings_is_heard_without_them():
    out = io.BytesIO(sound("wav"))
    samples = np.tile(np.array([np.nan, np.inf, -np.inf, 7.0], "<f4"), 8_000)
    head = b"RIFF" + (36 + samples.nbytes).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += b"\3\0\1\0" + (16_000).to_bytes(4, "little") + (64_000).to_bytes(4, "little") + b"\4\0\x20\0"
    out = io.BytesIO(head + b"data" + samples.nbytes.to_bytes(4, "little") + samples.tobytes())
    heard = wave(windows(out.getvalue())[0])
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "aiff", "mka"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_sound_that_breaks_off_before_the_end_it_declares_is_refused(kind, share):
    data = sound(kind, tones(MIDDLE, seconds=6.0))
    with pytest.raises(CorruptMedia):
        windows(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["mp3", "ogg", "aac"])
def test_a_sound_of_a_format_that_declares_no_end_is_as_long_as_it_is(kind):
    data = sound(kind, tones(MIDDLE, seconds=6.0))
    found = windows(data[: len(data) // 2])
    assert found[-1].span is not None
    assert 2.0 < found[-1].span.end < 4.5


def test_a_sound_whose_middle_is_noise_is_refused():
    data = bytearray(sound("flac", tones(MIDDLE, LOW, HIGH, seconds=4.0)))
    middle = slice(len(data) // 4, 3 * len(data) // 4)
    data[middle] = np.random.default_rng(7).bytes(middle.stop - middle.start)
    with pytest.raises(CorruptMedia):
        windows(bytes(data))


def test_a_sound_without_samples_is_refused():
    with pytest.raises((EmptyMedia, CorruptMedia)):
        windows(sound("wav", np.zeros((1, 0), np.float32)))


def test_a_sound_over_the_limit_of_seconds_is_refused_by_its_header():
    with pytest.raises(TooLarge, match="QUIVER_MAX_SECONDS"):
        windows(sound("flac", tones(MIDDLE, seconds=5.0)), limits=Limits(seconds=3))


def test_a_sound_of_more_bytes_than_allowed_is_not_decoded():
    with pytest.raises(TooLarge, match="QUIVER_MAX_MEDIA_BYTES"):
        windows(sound("wav"), limits=Limits(media_bytes=1000))


def test_a_sound_nobody_can_hear_is_told_so():
    with pytest.raises(NoSpaceFor, match="sound alone"):
        windows(sound("wav"), wants=Wants(contents=frozenset({Modality.IMAGE})))


def test_of_a_sound_with_a_cover_the_sound_is_heard():
    found = windows(sound("mka"), wants=Wants(rate=16_000, seconds=1.0))
    assert {segment.content.modality for segment in found} == {Modality.AUDIO}


def test_a_film_that_holds_sound_alone_is_heard():
    data = sound("wma")
    assert sniff(io.BytesIO(data), name="", limits=LIMITS).modality is Modality.VIDEO
    assert {segment.content.modality for segment in windows(data, wants=Wants())} == {Modality.AUDIO}


def test_a_playlist_that_names_files_is_never_opened(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound("wav"))
    for text in (f"#EXTM3U\n#EXTINF:2,\n{secret}\n", f"ffconcat version 1.0\nfile {secret}\n"):
        with pytest.raises(Refused):
            whole(
                prepare(
                    io.BytesIO(text.encode()),
                    modality=Modality.AUDIO,
                    media_type="audio/mpeg",
                    limits=LIMITS,
                    wants=HEARS,
                )
            )


WHOLE = {kind: sound(kind, tones(MIDDLE, seconds=0.5)) for kind in SOUNDS} | {
    "mp4": film("mp4", seconds=0.3, size=(32, 32)),
    "mkv": film("mkv", seconds=0.3, size=(32, 32)),
    "avi": film("avi", seconds=0.3, size=(32, 32)),
    "ts": film("ts", seconds=0.3, size=(32, 32)),
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real file, some bytes of it changed, cut out or put in, and perhaps cut short."""
    data = bytearray(WHOLE[draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([60, 600, 1_000_000])))))
        match draw(st.sampled_from(["set", "insert", "delete"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case _ if len(data) > 9:
                del data[at : at + draw(st.integers(1, 8))]
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(st.one_of(st.binary(max_size=200), damaged()), st.sampled_from([Modality.AUDIO, Modality.VIDEO]))
def test_decoding_any_bytes_gives_segments_or_refuses_and_nothing_else(data: bytes, modality: Modality) -> None:
    said: dict[str, Any] = {"modality": modality, "media_type": "video/x", "limits": Limits(pixels=100_000, seconds=60)}
    try:
        found = whole(prepare(io.BytesIO(data), wants=Wants(pixels=8, rate=8_000, seconds=1.0), **said))
    except Refused:
        return
    assert found
    assert [segment.ordinal for segment in found] == list(range(len(found)))
    for segment in found:
        assert segment.span is not None
        assert 0 <= segment.span.start <= segment.span.end
        if isinstance(segment.content, Audio):
            assert np.isfinite(segment.content.samples).all()
