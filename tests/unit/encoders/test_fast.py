"""A faster model is the same but for rounding, or it is not used."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from core.encoders import fast
from tests.checkpoints import ALL, encoder
from tests.unit.encoders.test_models import contents_of

GAINS = fast.gains()  # of this processor, before a fixture says otherwise

pytestmark = pytest.mark.skipif(not GAINS, reason="this processor has no instructions for bfloat16")


@pytest.fixture(autouse=True)
def gaining(monkeypatch: pytest.MonkeyPatch, exact: None) -> None:
    monkeypatch.setattr(fast, "gains", lambda: True)


def towers_of(made: Any, family: str) -> Any:
    return encoder(made[family])._inner._loaded()


@pytest.mark.parametrize("family", ALL)
def test_every_family_runs_in_bfloat16_and_its_rows_lie_beside_the_reference(made, loaded, family, caplog) -> None:
    caplog.set_level(logging.INFO, "core.encoders.fast")
    contents = contents_of(family)
    quick = encoder(made[family])
    rows = quick.encode(contents)
    assert "runs in bfloat16" in caplog.text
    assert rows.dtype == np.float32
    assert (rows * loaded[family].encode(contents)).sum(1).min() >= fast.SAME
    towers = quick._inner._loaded()
    assert towers.model.dtype is torch.bfloat16
    assert any(type(module).__name__ == "Packed" for module in towers.model.modules())


@pytest.mark.parametrize("family", ALL)
def test_row_i_depends_on_input_i_alone(made, family) -> None:
    contents = contents_of(family)
    quick = encoder(made[family])
    together = quick.encode(contents)
    alone = np.concatenate([quick.encode([content]) for content in contents])
    assert (together * alone).sum(1).min() >= fast.SAME


def test_a_copy_that_answers_otherwise_is_not_used(made, monkeypatch, caplog) -> None:
    def broken(model: Any) -> Any:
        with torch.no_grad():
            next(model.visual_projection.parameters()).mul_(-1)
        return fast_packed(model)

    fast_packed = fast.packed
    monkeypatch.setattr(fast, "packed", broken)
    towers = towers_of(made, "clip")
    assert towers.model.dtype is torch.float32
    assert "stays in float32" in caplog.text


def test_a_difference_that_a_common_mean_hides_is_seen() -> None:
    mean = np.full((8, 64), 100, np.float32)
    parts = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    worst, apart = fast.fidelity({"texts": mean + parts}, {"texts": mean - parts})
    assert worst > fast.SAME
    assert apart < fast.APART
    assert fast.fidelity({"texts": mean + parts}, {"texts": mean + parts}) == pytest.approx((1, 1), abs=1e-5)


def test_a_processor_that_lacks_an_operator_goes_on_with_the_reference(made, monkeypatch, caplog) -> None:
    def none(_linear: Any) -> Any:
        raise RuntimeError("mkldnn_bf16_path is not supported here")

    monkeypatch.setattr(fast, "_packed_linear", none)
    assert towers_of(made, "clip").model.dtype is torch.float32
    assert "not supported here" in caplog.text


def test_where_nothing_is_gained_nothing_is_tried(made, monkeypatch) -> None:
    monkeypatch.setattr(fast, "gains", lambda: False)
    monkeypatch.setattr(fast, "packed", lambda _: pytest.fail("it was tried"))
    assert towers_of(made, "clip").model.dtype is torch.float32
