"""Sound to windows: mono, at one rate, each with the seconds that it is of."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptMedia
from core.types import Audio, Span

Samples = NDArray[np.float32]
Window = tuple[Audio, Span]

OVERLAP = 4  # a window begins a quarter of its length before the one before it ends
HIGHEST = 768_000  # samples a second of anything that people make
_GAP = 0.5  # seconds without sound after which windows begin anew
_RESAMPLER = {"resampler": "swr", "filter_size": "64", "phase_shift": "12", "cutoff": "0.97", "dither_method": "none"}


class Windows:
    """Cuts what is fed to it. The last window begins earlier instead of being short or filled up, so that all are of
    one length, and every sample is in one; sound shorter than a window is one by itself."""

    def __init__(self, *, rate: int, seconds: float, begins: float) -> None:
        """`rate`: samples a second of what comes; `begins`: the time of the first, in seconds."""
        self._rate, self._begins = rate, begins
        self._width = max(1, round(seconds * rate))
        self._hop = max(1, self._width - self._width // OVERLAP)
        self._held = np.empty(0, np.float32)
        self._from = 0  # the sample that what is held begins with
        self._next = 0  # the one that the next window begins with
        self._covered = 0  # samples that are in a window

    def feed(self, samples: Samples) -> Iterator[Window]:
        """The windows that are full with these."""
        self._held = np.concatenate([self._held, samples])
        total = self._from + len(self._held)
        while total - self._next >= self._width:
            yield self._window(self._next, self._next + self._width)
            self._covered = self._next + self._width
            self._next += self._hop
        kept = max(self._from, min(self._next, total) - self._width)
        self._held, self._from = self._held[kept - self._from :], kept

    def end(self) -> Iterator[Window]:
        """The window of what is left over."""
        total = self._from + len(self._held)
        if total > self._covered:
            yield self._window(max(0, total - self._width), total)
            self._covered = total

    def _window(self, start: int, end: int) -> Window:
        samples = self._held[start - self._from : end - self._from].copy()
        span = Span(self._begins + start / self._rate, self._begins + end / self._rate, "second")
        return Audio(samples, self._rate), span


class Ear:
    """Frames of one stream to windows. `rate` 0: that of the sound."""

    def __init__(self, *, rate: int, seconds: float) -> None:
        self._rate, self._seconds = rate, seconds
        self._run: _Run | None = None

    def hear(self, frame: av.AudioFrame, at: float | None) -> Iterator[Window]:
        """Windows that a frame fills; it begins `at` so many seconds, when that is known."""
        if not frame.samples:
            return
        if not 1 <= frame.sample_rate <= HIGHEST:
            raise CorruptMedia(f"it says it has {frame.sample_rate:,} samples a second: ingest another copy")
        run = self._run
        if run is not None and (run.source != frame.sample_rate or (at is not None and at - run.ends > _GAP)):
            yield from self.end()
            run = None
        if run is None:
            begins = max(0.0, at or 0.0)
            run = self._run = _Run(frame.sample_rate, self._rate or frame.sample_rate, self._seconds, begins)
        yield from run.feed(mono(frame))

    def end(self) -> Iterator[Window]:
        """What is left over."""
        if self._run is not None:
            yield from self._run.end()
            self._run = None


class _Run:
    """Sound without a gap, at one rate."""

    def __init__(self, source: int, target: int, seconds: float, begins: float) -> None:
        self.source, self.ends = source, begins
        self._resampler = None
        if source != target:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=target, options=_RESAMPLER)
        self._windows = Windows(rate=target, seconds=seconds, begins=begins)

    def feed(self, samples: Samples) -> Iterator[Window]:
        self.ends += len(samples) / self.source
        yield from self._windows.feed(self._resampled(samples))

    def end(self) -> Iterator[Window]:
        if self._resampler is not None:
            yield from self._windows.feed(_joined(self._resampler.resample(None)))
        yield from self._windows.end()

    def _resampled(self, samples: Samples) -> Samples:
        if self._resampler is None:
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate = self.source
        return _joined(self._resampler.resample(frame))


def mono(frame: av.AudioFrame) -> Samples:
    """The mean of its channels, -1..1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    scaled: Samples = values.astype(np.float32)
    if values.dtype.kind == "u":
        scaled -= 128
    if values.dtype.kind in "iu":
        scaled *= np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.asarray(np.clip(scaled.mean(axis=0), -1, 1), np.float32)


def _joined(frames: list[av.AudioFrame]) -> Samples:
    parts = [np.asarray(frame.to_ndarray(), np.float32).reshape(-1) for frame in frames]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
