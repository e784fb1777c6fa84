"""Texts to token ids by a checkpoint's tokenizer, and where each token lies in the text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.encoders.checkpoint import Wording
from core.encoders.towers import Ids

Span = tuple[int, int]

_BARE = {"add_special_tokens": False, "truncation": False, "verbose": False}  # no marks, all of it, no warning of it


class Tokenizer:
    """A tokenizer of transformers and how its model reads. Safe to call from several threads."""

    def __init__(self, inner: Any, wording: Wording) -> None:
        self._inner = inner
        self._wording = wording
        self._limit = min(wording.tokens, int(inner.model_max_length))
        self._pad = int(inner.pad_token_id or 0)
        # Setting its truncation makes it unsafe for threads.
        self._lock = threading.Lock()

    @property
    def most(self) -> int:
        """Port: besides the marks and the longer of what stands before queries and documents."""
        before = max(len(self._bare(said)) for said in (self._wording.query, self._wording.document))
        return max(1, self._limit - int(self._inner.num_special_tokens_to_add()) - before)

    def spans(self, text: str) -> Sequence[Span]:
        """Port."""
        said = "".join(map(_lower, text)) if self._wording.lower else text
        with self._lock:
            found = self._inner(_sound(said), return_offsets_mapping=True, **_BARE)
        return [(start, end) for start, end in found["offset_mapping"] if end > start]

    def ids(self, text: str, before: str = "") -> list[int]:
        """Token ids of at most as much as is read, its marks with them."""
        return self.batch([text], before)[0]

    def batch(self, texts: Sequence[str], before: str = "") -> list[list[int]]:
        """The same of several."""
        said = [self._readable(text, before) for text in texts]
        with self._lock:
            found = self._inner(said, truncation=True, max_length=self._limit, verbose=False)
        return [list(one) or [self._pad] for one in found["input_ids"]]  # nothing, and no marks: there must be a token

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
        """Token ids and mask, i64 (n, t). The mask of a model that reads its padding, too, is full."""
        full = self._wording.full
        width = self._limit if full else max(map(len, rows))
        ids = np.full((len(rows), width), self._pad, np.int64)
        mask = np.full((len(rows), width), int(full), np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        return ids, mask

    def exposes_spans(self) -> bool:
        """Whether it knows where tokens lie: those written in Rust do."""
        return bool(self._inner.is_fast)

    def _readable(self, text: str, before: str) -> str:
        said = _sound(before + text[: self._wording.characters])
        return said.lower() if self._wording.lower else said

    def _bare(self, text: str) -> Sequence[int]:
        with self._lock:
            found: Sequence[int] = self._inner(text, **_BARE)["input_ids"]
        return found


def _sound(text: str) -> str:
    """No lone surrogate, which no tokenizer takes; as long as it was."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _lower(letter: str) -> str:
    """In place: a letter that would become two stays, or places would shift."""
    lower = letter.lower()
    return lower if len(lower) == 1 else letter
