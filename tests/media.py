"""Small real sounds and films, as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
RED, GREEN, BLUE = (230, 10, 10), (10, 220, 10), (10, 10, 230)
LOW, MIDDLE, HIGH = 200, 1000, 4000  # hertz, one in each band of the double that hears

SOUNDS = {  # container and codec, by what the file is called
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "ogg": ("ogg", "flac"),
    "opus": ("ogg", "libopus"),
    "aiff": ("aiff", "pcm_s16be"),
    "mka": ("matroska", "flac"),
    "wma": ("asf", "wmav2"),
}
FILMS = {
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "mpeg4", "aac"),
    "mkv": ("matroska", "libx264", "flac"),
    "webm": ("webm", "libvpx", "libopus"),
    "avi": ("avi", "mpeg4", "libmp3lame"),
    "ts": ("mpegts", "mpeg2video", "mp2"),
    "flv": ("flv", "flv", "libmp3lame"),
    "wmv": ("asf", "wmv2", "wmav2"),
    "mpg": ("mpeg", "mpeg1video", "mp2"),
}


def tones(*pitches: float, seconds: float = 2.0, rate: int = 44_100, channels: int = 1) -> NDArray[np.float32]:
    """Pitches in hertz, one after the other, each for so many seconds: (channels, n); 0 is silence."""
    at = np.arange(round(seconds * rate)) / rate
    wave = np.concatenate([0.5 * np.sin(2 * np.pi * pitch * at) for pitch in pitches])
    return np.tile(wave.astype(np.float32), (channels, 1))


def sound(kind: str, samples: NDArray[np.float32] | None = None, *, rate: int = 44_100, **options: Any) -> bytes:
    """A file of that kind; two seconds of a middle pitch unless said otherwise."""
    rate = 48_000 if kind == "opus" else rate  # it knows five rates
    wave = tones(MIDDLE, rate=rate) if samples is None else samples
    form, codec = SOUNDS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=options) as container:
        _mux_sound(container, codec, wave, rate)
    return out.getvalue()


def film(
    kind: str,
    colours: Sequence[Colour] = (RED, GREEN, BLUE),
    *,
    seconds: float = 3.0,
    size: tuple[int, int] = (128, 96),
    rate: int = 10,
    pitches: Sequence[float] = (MIDDLE,),
    times: Callable[[int], float] | None = None,
    rotation: int = 0,
    pixels: str = "yuv420p",
    codec: str = "",
    options: dict[str, str] | None = None,
    **more: Any,
) -> bytes:
    """A film of that kind: each colour for so many seconds, with pitches that share its length; none: no sound.

    `times`: the second of the nth picture, when they are not evenly spread.
    """
    form, picture_codec, sound_codec = FILMS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=more) as container:
        stream: Any = container.add_stream(codec or picture_codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if rotation:
            stream.set_display_rotation(rotation)
        count = round(seconds * rate)
        voice: Any = container.add_stream(sound_codec, rate=48_000) if pitches else None
        if voice is not None:
            voice.layout, voice.bit_rate = "stereo", 128_000
        for at in range(count * len(colours)):
            flat = np.full((size[1], size[0], 3), colours[at // count], np.uint8)
            flat[: size[1] // 4, : size[0] // 4] = 255  # a white corner, so that turning it shows
            frame = av.VideoFrame.from_ndarray(flat, format="rgb24")
            second = times(at) if times else at / rate
            frame.time_base, frame.pts = Fraction(1, 1000), round(second * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            length = seconds * len(colours) / len(pitches)
            _encode(container, voice, tones(*pitches, seconds=length, rate=48_000, channels=2), 48_000)
    return out.getvalue()


def _mux_sound(container: Any, codec: str, wave: NDArray[np.float32], rate: int) -> None:
    stream = container.add_stream(codec, rate=rate)
    stream.bit_rate = 128_000
    stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(wave)]
    _encode(container, stream, wave, rate)


def _encode(container: Any, stream: Any, wave: NDArray[np.float32], rate: int) -> None:
    step = 1024
    for at in range(0, wave.shape[1], step):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[:, at : at + step]), format="fltp", layout=stream.layout.name
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
