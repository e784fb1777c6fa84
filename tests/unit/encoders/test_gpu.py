"""What can be held to its promise without a GPU: rows are asked for in parts that fit, and none is lost or moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.encoders import fast
from core.encoders.gpu import Fitting, put
from core.encoders.machine import Machine
from tests.checkpoints import encoder
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
    for _ in range(2):
        made = fitting(np.arange(rows), -np.arange(rows))
        assert made.tolist() == [[i, -i] for i in range(rows)]
    again = len(asked)
    fitting(np.arange(rows), -np.arange(rows))
    assert max(asked[again:]) <= most, "what did not fit once is not tried again"


def test_one_row_that_does_not_fit_is_said() -> None:
    freed: list[int] = []
    with pytest.raises(Full):
        Fitting(device_of(0, []), Full, lambda: freed.append(1))(np.arange(4), np.arange(4))
    assert len(freed) == 2, "4 rows, then 2, then 1"


def test_what_stays_on_the_processor_is_not_copied() -> None:
    array = np.zeros(3, np.float32)
    assert put(array, torch.device("cpu")).data_ptr() == array.ctypes.data


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that works")
def test_a_gpu_that_breaks_leaves_the_reference(made, loaded, monkeypatch, caplog) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cuda", ("bfloat16", "float32")))
    quick = encoder(made["clip"])
    rows = quick.encode(contents_of("clip"))
    assert (rows * loaded["clip"].encode(contents_of("clip"))).sum(1).min() >= 0.999999
    assert "cannot be bfloat16 on the GPU" in caplog.text
