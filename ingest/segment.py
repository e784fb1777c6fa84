"""Text to overlapping windows that quote it exactly."""

from __future__ import annotations

import re

from core.types import Segment, Span, Text

# Where a window may end, best first. Every pattern ends where the next window could begin.
_BREAKS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t\r]*\n\s*",  # paragraph
        r"[.!?…।؟۔][\"'”’»)\]]*\s+|[。！？…｡]+[”’」』）》]*\s*",  # sentence
        r"\n\s*",  # line
        r"[,;:،؛]\s+|[，、；：]\s*",  # clause
        r"\s+",  # word
    )
)


def windows(text: str, *, width: int = 1000, overlap: int = 200) -> list[Segment]:
    """Windows of at most `width` characters, each beginning within the last `overlap` characters of the one before.

    Together they hold every character that is not white space; starts and ends grow strictly; windows of white space
    alone are left out. `overlap` is less than `width`.
    """
    if not 0 <= overlap < width:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than width {width}")
    spans: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = _end(text, start, width, overlap)
        if not text[start:end].isspace():
            spans.append((start, end))
        if end == len(text):
            break
        start = _start(text, end, overlap)
    return [Segment(i, Text(text[a:b]), Span(a, b, "char")) for i, (a, b) in enumerate(spans)]


def _end(text: str, start: int, width: int, overlap: int) -> int:
    """The last of the best breaks in the second half of the window, and far enough for the next one to get on."""
    if len(text) - start <= width:
        return len(text)
    low, high = start + max(width // 2, overlap + 1), start + width
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(text, low - 1, high)]
        if ends:
            return ends[-1]
    return high


def _start(text: str, end: int, overlap: int) -> int:
    """The first of the best breaks in the first half of the overlap."""
    low, high = end - overlap, end - (overlap + 1) // 2
    for pattern in _BREAKS if overlap else ():
        found = pattern.search(text, low - 1, high)
        if found:
            return found.end()
    return low
