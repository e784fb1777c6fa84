"""Film to shots: one picture of each, and the seconds that it lasts.

As PySceneDetect's ContentDetector (scenedetect.com/docs) finds them: at a cut the mean difference of two small
pictures in hue, saturation and value, of 255, is over a threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
import PIL.Image
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from core.errors import CorruptMedia, TooLarge
from core.types import Image, Span
from ingest.limits import Limits

Shot = tuple[Image, Span]

THRESHOLD = 27.0  # ContentDetector's
SHORTEST = 2.0  # seconds of a shot: a shorter one goes with the next
LONGEST = 10.0  # seconds of a shot, unless there would be too many: a longer one is several, for things move in it
LOOKS = 5.0  # pictures a second that are compared
_SMALL = (64, 36)
_FIRST = 0.25  # seconds into a shot, of the second picture that is kept
_KEPT = 3  # pictures at once
_HIGH_RANGE = frozenset({ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67})


@dataclass(slots=True)
class Lens:
    """Frames to pictures in the shape they are seen in: upright, their pixels square, the shorter side no less than
    twice `side` (0: native)."""

    limits: Limits
    side: int
    ratio: float = 1.0  # how much wider than high a pixel is: broadcasts store theirs narrower than they are shown
    _scaler: VideoReformatter = field(default_factory=VideoReformatter)

    def picture(self, frame: av.VideoFrame) -> Image:
        """Raises CorruptMedia, TooLarge: a stream may change its size as it goes."""
        check_frame(frame, self.limits)
        width, height = frame.width * max(self.ratio, 1.0), frame.height / min(self.ratio, 1.0)
        factor = max(1.0, min(width, height) / (2 * self.side)) if self.side else 1.0
        bright = frame.color_trc in _HIGH_RANGE  # brought to what screens and encoders know
        rgb = self._scaler.reformat(
            frame,
            width=max(1, round(width / factor)),
            height=max(1, round(height / factor)),
            format="rgb24",
            interpolation=Interpolation.AREA if factor > 1 else Interpolation.BILINEAR,
            dst_color_trc=ColorTrc.BT709 if bright else None,
            dst_color_primaries=ColorPrimaries.BT709 if bright else None,
        ).to_ndarray()
        return Image(np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4), dtype=np.uint8))


@dataclass(slots=True)
class Shots:
    """Cuts the frames that are shown to it, each later than the one before.

    A shot is shown by a frame near its middle. The middle is known at the end only, and then it has gone: so frames are
    kept at times that double (the last of them are the nearest to the middle, by an eighth of the shot at most).
    """

    lens: Lens
    shortest: float = SHORTEST
    _starts: float = 0.0
    _seen: float | None = None  # when the last frame was compared
    _small: NDArray[np.int16] | None = None
    _due: bool = False  # there was a cut, too early to be one
    _kept: list[tuple[float, Image]] = field(default_factory=list)
    _keep_at: float = 0.0  # seconds into the shot
    _scaler: VideoReformatter = field(default_factory=VideoReformatter)

    def show(self, frame: av.VideoFrame, at: float) -> Iterator[Shot]:
        """The shot that ends with this frame, if one does; it is `at` so many seconds."""
        if self._seen is not None and (at - self._seen) * LOOKS < 0.999:
            return
        small = self._reduced(frame)
        self._due = self._due or (self._small is not None and _differ(small, self._small) > THRESHOLD)
        long = at - self._starts
        if self._kept and ((self._due and long >= self.shortest) or long >= max(LONGEST, self.shortest)):
            yield from self.end(at)
        if not self._kept:
            self._starts = at
        self._small, self._seen = small, at
        if at - self._starts >= self._keep_at:
            self._kept = [*self._kept[1 - _KEPT :], (at, self.lens.picture(frame))]
            self._keep_at = max(_FIRST, 2 * (at - self._starts))

    def end(self, at: float) -> Iterator[Shot]:
        """The shot that ends then."""
        if self._kept:
            middle = (self._starts + at) / 2
            _, image = min(self._kept, key=lambda kept: abs(kept[0] - middle))
            yield image, Span(self._starts, max(at, self._starts), "second")
        self._kept, self._keep_at, self._due = [], 0.0, False

    def _reduced(self, frame: av.VideoFrame) -> NDArray[np.int16]:
        check_frame(frame, self.lens.limits)
        small = self._scaler.reformat(frame, *_SMALL, format="rgb24", interpolation=Interpolation.AREA)
        return np.asarray(PIL.Image.fromarray(small.to_ndarray()).convert("HSV"), np.int16)


def check_frame(frame: av.VideoFrame, limits: Limits) -> None:
    """Raises CorruptMedia, TooLarge: a stream may change its size as it goes."""
    if frame.width < 1 or frame.height < 1:
        raise CorruptMedia("its pictures have no pixels")
    if frame.width * frame.height > limits.pixels:
        raise TooLarge(limits.over("pixels", f"{frame.width} x {frame.height} pixels a frame"))


def _differ(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    apart = np.abs(one - other)
    hue = apart[..., 0]
    apart[..., 0] = np.minimum(hue, 256 - hue)  # a circle
    return float(apart.mean())
