"""Text to overlapping windows: where each begins and ends, so that what it says is a quotation."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

WIDTH, OVERLAP = 1000, 200  # characters, where nobody says what a token is
STRETCH = 32  # characters that count as a token where the tokenizer sees none, or one that is longer

Breaks = tuple[re.Pattern[str], ...]
_FEED = r"\f\s*"
_LINE = r"\n\s*"
_WORD = r"\s+"

# Where a window may end, best first. Every pattern ends where the next window could begin, and reads no character more
# than a few times, whatever the text is.
PROSE: Breaks = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\n[ \t\r]*\n\s*|{_FEED}",  # paragraph
        r"[.!?…।؟۔][\"'”’»)\]]*\s+|[。！？…｡]+[”’」』）》]*\s*",  # sentence
        _LINE,
        r"[,;:،؛]\s+|[，、；：]\s*",  # clause
        _WORD,
    )
)
_DEFINES = (
    "async|class|const|def|enum|export|fn|func|function|impl|import|interface|let|module|mod|namespace|package"
    "|private|protected|public|pub|static|struct|trait|type|void"
)
CODE: Breaks = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t\r]*\n(?=[^\s})\]])|" + _FEED,  # a blank line before one that is not indented
        rf"\n(?=[ \t]*(?:@|(?:{_DEFINES})\b))",  # a definition
        r"\n[ \t\r]*\n",
        r"\n",
        _WORD,
    )
)


def windows(
    text: str,
    *,
    spans: Sequence[tuple[int, int]] | None = None,
    most: int = WIDTH,
    overlap: int = OVERLAP,
    breaks: Breaks = PROSE,
) -> list[tuple[int, int]]:
    """Windows of at most `most` tokens, each beginning within the last `overlap` tokens of the one before.

    `spans` are the tokens, half open, in order; without them a character is one. Together the windows hold every
    character that is not white space; starts and ends grow strictly; windows of white space alone are left out.
    `overlap` is less than `most`. Only a single character of more than `most` tokens makes a window of more.
    """
    if not 0 <= overlap < most:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than {most}, the most of a window")
    marks: Sequence[int] = range(len(text)) if spans is None else _marks(spans, len(text))
    out: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = _end(text, marks, start, most, overlap, breaks)
        if not text[start:end].isspace():
            out.append((start, end))
        if end == len(text):
            break
        start = _start(text, marks, start, end, overlap, breaks)
    return out


def _marks(spans: Sequence[tuple[int, int]], length: int) -> list[int]:
    """Where tokens begin, in order; besides, every STRETCH characters where none does. BERT's tokenizer makes one token
    of a word of any length that it does not know, and of white space it makes nothing."""
    out: list[int] = []
    last = -STRETCH
    for start in [*(start for start, end in spans if start < end and start < length), length]:
        out.extend(range(last + STRETCH, start, STRETCH))
        last = max(start, last)
        out.append(last)
    return out[:-1]


def _end(text: str, marks: Sequence[int], start: int, most: int, overlap: int, breaks: Breaks) -> int:
    """The last of the best breaks in the second half of the window, and far enough for the next one to get on."""
    first = _token_at(marks, start)
    if len(marks) - first <= most:
        return len(text)
    low = max(marks[first + max(most // 2, overlap + 1)], start + 1)
    high = max(marks[first + most], start + 1)
    for pattern in breaks:
        ends = [found.end() for found in pattern.finditer(text, low - 1, high)]
        if ends:
            return ends[-1]
    return high


def _start(text: str, marks: Sequence[int], start: int, end: int, overlap: int, breaks: Breaks) -> int:
    """The first of the best breaks in the first half of the overlap."""
    behind = min(bisect_left(marks, end), len(marks) - 1)  # the first token that is not in the window
    if not overlap or marks[behind - overlap] <= start:
        return end
    low, high = marks[behind - overlap], min(marks[behind - (overlap + 1) // 2], end)
    for pattern in breaks:
        found = pattern.search(text, low - 1, high)
        if found:
            return found.end()
    return low


def _token_at(marks: Sequence[int], at: int) -> int:
    """The first token of which some lies at or behind this character."""
    return bisect_left(marks, marks[bisect_right(marks, at) - 1])
