"""Rows are asked for in parts that fit, and none is lost or moved: without a GPU, and on one where there is one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.encoders import fast
from core.encoders.batches import BUDGET
from core.encoders.gpu import ROWS, TOKENS, Fitting, _Size, put
from core.encoders.machine import Machine
from core.encoders.models import BATCH
from core.types import Image, Text
from tests.checkpoints import ALL, encoder
from tests.unit.encoders.test_models import contents_of


class Full(RuntimeError):
    """A memory too small."""


def device_of(most: int, asked: list[int]) -> Any:
    """A tower of a device that takes so many rows."""

    def tower(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        if len(rows) > most:
            raise Full
        return np.stack([rows, mask], axis=1).astype(np.float32)

    return tower


@given(rows=st.integers(1, 70), most=st.integers(1, 70))
def test_every_row_comes_back_in_its_place_however_few_fit(rows: int, most: int) -> None:
    asked: list[int] = []
    fitting = Fitting(device_of(most, asked), Full, lambda: None)
    for _ in range(4):
        made = fitting(np.arange(rows), -np.arange(rows))
        assert made.tolist() == [[i, -i] for i in range(rows)]
    failed = [size for size in asked if size > most]
    assert failed == sorted(set(failed), reverse=True), "what did not fit once is not tried again"


def test_one_row_that_does_not_fit_is_said() -> None:
    freed: list[int] = []
    with pytest.raises(Full):
        Fitting(device_of(0, []), Full, lambda: freed.append(1))(np.arange(4), np.arange(4))
    assert len(freed) == 2, "4 rows, then 2, then 1"


def test_what_stays_on_the_processor_is_not_copied() -> None:
    array = np.zeros(3, np.float32)
    assert put(array, torch.device("cpu")).data_ptr() == array.ctypes.data


class Machinery:
    """A device that computes `side` rows side by side in a second, has memory for `most`, and knows what time it is."""

    def __init__(self, side: int, most: int) -> None:
        self.side, self.most, self.now, self.asked = side, most, 0.0, list[int]()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        if len(rows) > self.most:
            raise Full
        self.now += -(-len(rows) // self.side)
        return np.zeros((len(rows), 1), np.float32)

    def fitting(self, cells: int) -> Fitting:
        return Fitting(self, Full, lambda: None, cells=cells, clock=lambda: self.now)


def settled(fitting: Fitting, *shape: int) -> int:
    """How many rows are asked for at once after a while."""
    for _ in range(50):
        fitting(np.zeros(shape, np.float32))
    return fitting.rows(shape[1] if len(shape) == 2 else 1)


def test_batches_are_doubled_while_that_is_faster() -> None:
    device = Machinery(side=64, most=10**6)
    assert settled(device.fitting(8), 500) == 64
    assert max(device.asked) == 128, "twice as many were tried, and no faster"


def test_batches_are_doubled_until_memory_is_full_and_then_kept() -> None:
    device = Machinery(side=10**6, most=100)
    assert settled(device.fitting(8), 500) == 64
    assert [size for size in device.asked if size > 100] == [128]


def test_the_first_batch_is_halved_when_it_is_too_large() -> None:
    assert settled(Machinery(side=1, most=10).fitting(128), 500) == 8


def test_long_texts_and_short_ones_have_sizes_of_their_own() -> None:
    device = Machinery(side=10**6, most=100)
    fitting = device.fitting(512)
    assert settled(fitting, 500, 8) == 64
    assert 50 < settled(fitting, 500, 200) <= 100
    assert fitting.rows(8) == 64
    assert fitting.rows(1000) == 1, "nothing so long was asked for yet"


@pytest.mark.parametrize(("kind", "name", "cells"), [(Text, "texts", TOKENS), (Image, "images", ROWS)])
def test_an_encoder_gives_a_gpu_as_many_rows_as_it_asks_for(made, monkeypatch, kind, name, cells) -> None:
    """And a processor what it always had."""
    quick = encoder(made["clip"])
    own = quick._inner._loaded()
    contents = [content for content in contents_of("clip") if isinstance(content, kind) for _ in range(200)]
    asked: list[int] = []

    def tower(*given: np.ndarray) -> np.ndarray:
        asked.append(len(given[0]))
        return np.ones((len(given[0]), own.dim), np.float32)

    def largest(call: Any) -> int:
        asked.clear()
        monkeypatch.setattr(quick._inner, "_towers", replace(own, **{name: call}))
        quick.encode(contents)
        assert sum(asked) == len(contents)
        return max(asked)

    alone = largest(tower)
    assert alone <= (BATCH if kind is Image else BUDGET)
    assert largest(Fitting(tower, Full, lambda: None, cells=cells)) >= min(4 * alone, len(contents) // 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that works")
def test_a_gpu_that_breaks_leaves_the_reference(made, loaded, monkeypatch, caplog) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cuda", ("bfloat16", "float32")))
    quick = encoder(made["clip"])
    rows = quick.encode(contents_of("clip"))
    assert (rows * loaded["clip"].encode(contents_of("clip"))).sum(1).min() >= 0.999999
    assert "cannot be bfloat16 on the GPU" in caplog.text


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch reaches no GPU here")


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ALL)
def test_every_family_says_the_same_on_a_gpu(made, loaded, monkeypatch, family, precision) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cuda", (precision,)))
    quick, contents = encoder(made[family]), contents_of(family)
    rows = quick.encode(contents)
    assert (rows * loaded[family].encode(contents)).sum(1).min() >= 0.999
    hows = set(quick._inner._loaded().how.values())
    assert f"{precision} on the GPU" in hows, "or else nothing was tried here"


@needs_gpu
def test_a_memory_too_small_for_the_first_forward_loses_no_row(made, loaded, monkeypatch) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cuda", ("float32",)))
    quick = encoder(made["clip"])
    contents = [content for content in contents_of("clip") if isinstance(content, Image)] * 4000
    tower = quick._inner._loaded().images
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (32 << 20)) / whole)
    try:
        monkeypatch.setattr(tower, "_sizes", defaultdict(lambda: _Size(len(contents))))
        rows = quick.encode(contents)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert tower.rows() < len(contents)
    assert (rows * loaded["clip"].encode(contents)).sum(1).min() >= 0.999
