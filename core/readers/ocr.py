"""The writing in pictures: PP-OCR (Du et al. 2020, "PP-OCR: A Practical Ultra Lightweight OCR System"), whose weights
RapidOCR brings in its wheel. Latin and Chinese script."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from core.errors import MissingExtra
from core.reader import Phrase
from core.readers.seam import translated
from core.types import Content, Image, Modality, Pixels, Reading, Wants

SIDE = 1000  # half of the longer side, in pixels, that RapidOCR makes of a larger picture: more is not seen
SMALL = 8  # pixels of a side; less is no writing
SLIM = 8  # times as long as wide: RapidOCR enlarges a picture until its shorter side is 736, however long it becomes
SURE = 0.6  # a line that is less likely right is left out
_SETTINGS = {
    "Global.log_level": "critical",  # an empty picture is nothing to warn of
    "Global.text_score": SURE,
    "Global.max_side_len": 2 * SIDE,
    "Global.use_cls": False,  # pictures are upright, and it turns every third long line upside down
    "Rec.rec_batch_num": 1,  # a line for itself: nothing is padded, and none depends on its neighbours
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # a lane has one thread
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


@dataclass(eq=False)
class Ocr:
    """Lines of writing, in order from the top and from the left; each at least SURE."""

    reading = Reading.OCR
    wants = Wants(contents=frozenset({Modality.IMAGE}), pixels=SIDE)
    _engine: Callable[..., Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Raises MissingExtra."""
        if find_spec("rapidocr") is None or find_spec("onnxruntime") is None:
            raise MissingExtra('reading the writing in pictures needs RapidOCR: pip install "quiver[ocr]"')

    def read(self, content: Content) -> list[Phrase]:
        """Port."""
        assert isinstance(content, Image)
        if min(content.pixels.shape[:2]) < SMALL:
            return []
        with translated(self.reading, "RapidOCR"):
            seen = self._loaded()(_framed(content.pixels[..., ::-1]))  # it wants blue first
            return [(line.strip(), None) for line in seen.txts or () if line.strip()]

    def _loaded(self) -> Callable[..., Any]:
        with self._lock:
            if self._engine is None:
                from rapidocr import RapidOCR

                self._engine = RapidOCR(params=_SETTINGS)
            return self._engine


def _framed(pixels: Pixels) -> Pixels:
    """With more of its edges at its longer sides, until it is not too slim."""
    height, width = pixels.shape[:2]
    below, right = max(0, width // SLIM - height), max(0, height // SLIM - width)
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
