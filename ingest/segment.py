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
    begins, ends = (range(len(text)), range(1, len(text) + 1)) if spans is None else _tokens(spans, len(text))
    out: list[tuple[int, int]] = []
    start = before = 0
    while start < len(text):
        first = bisect_right(ends, start)  # the first token of which some lies at or behind the start
        end = _end(text, begins[first : first + most + 1], start, most, overlap, breaks)
        if end <= before:  # the overlap alone is too much: a character there has many tokens
            start = before
            continue
        before = end
        if not text[start:end].isspace():
            out.append((start, end))
        if end == len(text):
            break
        behind = bisect_left(begins, end)  # the first token that is not in the window
        start = _start(text, begins[max(0, behind - overlap) : behind + 1], start, end, overlap, breaks)
    return out


def _tokens(spans: Sequence[tuple[int, int]], length: int) -> tuple[list[int], list[int]]:
    """Where tokens begin and where they end, neither ever falling. What is longer than STRETCH, a token or a gap, is
    several: BERT's tokenizer makes one token of a word of any length that it does not know, and none of white space."""
    begins: list[int] = []
    ends: list[int] = []
    reach = 0  # where the last token ends
    for start, end in [*spans, (length, length)]:
        while start - reach > STRETCH:  # nothing is here
            begins.append(reach)
            ends.append(reach := reach + STRETCH)
        start = max(start, begins[-1] if begins else 0)
        while end - start > STRETCH:
            begins.append(start)
            ends.append(start := start + STRETCH)
            reach = start
        if end > start:
            begins.append(start)
            ends.append(reach := max(reach, end))
    return begins, ends


def _end(text: str, tokens: Sequence[int], start: int, most: int, overlap: int, breaks: Breaks) -> int:
    """The last of the best breaks in the second half of the window, and far enough for the next one to get on. `tokens`
    begin there: those that the window may hold, and one more."""
    if len(tokens) <= most:
        return len(text)
    low = max(tokens[max(most // 2, overlap + 1)], start + 1)
    high = max(tokens[most], start + 1)
    for pattern in breaks:
        ends = [found.end() for found in pattern.finditer(text, low - 1, high)]
        if ends:
            return ends[-1]
    return high


def _start(text: str, tokens: Sequence[int], start: int, end: int, overlap: int, breaks: Breaks) -> int:
    """The first of the best breaks in the first half of the overlap. `tokens` begin there: those of the overlap, and
    one more."""
    if not overlap or tokens[0] <= start:
        return end
    low, high = tokens[0], min(tokens[overlap // 2], end)
    for pattern in breaks:
        found = pattern.search(text, low - 1, high)
        if found:
            return found.end()
    return low
