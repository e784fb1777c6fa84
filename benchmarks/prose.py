"""Texts of every length, real English: the pages of this repository, cut into runs of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

MEDIAN, SPREAD, LEAST, MOST = 40.0, 0.9, 6, 256  # words of a text, log-normal: notes, paragraphs, a few pages
_ENDS = re.compile(r"(?<=[.!?])\s+")


def prose(count: int, seed: int = 0) -> list[str]:
    """Texts all different, their lengths log-normal."""
    rng = np.random.default_rng(seed)
    wanted = np.clip(rng.lognormal(np.log(MEDIAN), SPREAD, count), LEAST, MOST).astype(int)
    words = cycle(_words())
    return [" ".join(next(words) for _ in range(size)) for size in wanted]


def _words() -> list[str]:
    return [word for sentence in sentences() for word in sentence.split()]


def sentences() -> Iterator[str]:
    """Each sentence of the documents that has six words or more, once."""
    seen = set()
    for path in sorted([*Path().glob("*.md"), *Path("docs").rglob("*.md")]):
        for part in path.read_text(encoding="utf-8").split("\n\n"):
            if part.lstrip().startswith(("|", "#", "`", "    ")):
                continue
            for sentence in _ENDS.split(" ".join(part.split())):
                if len(sentence.split()) >= LEAST and sentence not in seen:
                    seen.add(sentence)
                    yield sentence
