"""What loading a model took and freed is given back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.encoders.efficientnet import CLASSES, FEATURES, Trunk
from core.types import Image

SIZE, BLOCK = 64 * 2**20, 2**16  # bytes; a block so small is carved out of the heap


def anonymous() -> int:
    return int(re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what is resident")
def test_what_a_model_freed_while_it_loaded_is_given_back() -> None:
    pins: list[Any] = []

    def load() -> Any:
        scratch = [np.ones(BLOCK, np.uint8) for _ in range(SIZE // BLOCK)]
        pins.append(np.ones(BLOCK, np.uint8))  # on top: the heap cannot shrink below it
        del scratch
        return lambda pictures: (
            np.zeros((len(pictures), FEATURES), np.float32),
            np.zeros((len(pictures), CLASSES), np.float32),
        )

    before = anonymous()
    Trunk(load).see([Image(np.zeros((8, 8, 3), np.uint8))])
    assert anonymous() - before < SIZE // 4
