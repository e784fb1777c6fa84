"""Pictures of several frames: animations, and scans of several pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import PIL.Image
import PIL.TiffImagePlugin

from core.types import Segment, Span
from ingest.decode.image import check_size, opened, still, upright
from ingest.limits import Limits

ANIMATION = 8  # frames that are taken of an animation: it is short, and its frames are much alike
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_WORK = 10  # times the limit of pixels: what is decoded of an animation at most; what lies behind is not looked at
_KIND = 254  # TIFF 6.0, NewSubfileType: 1 for a smaller copy, 4 for a mask


def decode_pictures(data: bytes, *, limits: Limits, side: int) -> Iterator[Segment]:
    """A segment, or one for each page of a TIFF, or one for each stretch of an animation, sampled in its middle, with
    its seconds where the file says how long frames are shown. Raises as `decode_image`.

    Of another file with several pictures only the first is taken, or the one it calls the main one: the others are
    copies for other purposes (JPEG, HEIC, icons), or layers (PSD).
    """
    with opened(data, limits=limits) as picture:
        if isinstance(picture, PIL.TiffImagePlugin.TiffImageFile) and picture.n_frames > 1:
            for ordinal, page in enumerate(_thinned(_pages(picture), limits.frames)):
                picture.seek(page)
                check_size(picture, limits)
                yield Segment(ordinal, upright(picture, limits=limits, side=side))
        elif picture.format in _ANIMATED and getattr(picture, "is_animated", False):
            yield from _animation(picture, limits, side)
        else:
            yield Segment(0, still(data, picture, limits=limits, side=side))


def _pages(picture: PIL.TiffImagePlugin.TiffImageFile) -> list[int]:
    """The pages that are no smaller copies or masks of others."""
    out = []
    for page in range(picture.n_frames):
        picture.seek(page)
        if not page or not int(picture.tag_v2.get(_KIND, 0)) & 5:
            out.append(page)
    return out


def _animation(picture: PIL.Image.Image, limits: Limits, side: int) -> Iterator[Segment]:
    width, height = picture.size
    frames: int = getattr(picture, "n_frames", 1)
    count = max(1, min(frames, _WORK * limits.pixels // (width * height)))
    taken = min(count, limits.frames, ANIMATION)
    starts = [i * count // taken for i in range(taken + 1)]
    middles = {(a + b) // 2 for a, b in pairwise(starts)}
    shown, times = [], [0]  # milliseconds
    for frame in range(count):
        picture.seek(frame)
        picture.load()
        if frame in middles:
            shown.append(upright(picture, limits=limits, side=side))
        times.append(times[-1] + max(0, round(picture.info.get("duration") or 0)))
    for ordinal, content in enumerate(shown):
        start, end = (times[starts[at]] / 1000 for at in (ordinal, ordinal + 1))
        span = Span(start, end, "second") if times[-1] else None
        yield Segment(ordinal, content, span)


def _thinned(some: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly."""
    return [some[i * len(some) // most] for i in range(most)] if len(some) > most else list(some)
