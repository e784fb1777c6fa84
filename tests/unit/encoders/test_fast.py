"""A faster model is the same but for rounding, or it is not used."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from core.encoders import fast, fused, loading, models, packed, vino
from core.encoders.machine import Machine, multiplies_halves
from core.encoders.resizing import resized
from core.encoders.towers import Towers
from tests.checkpoints import ALL, encoder
from tests.unit.encoders.test_models import contents_of

HALVES = pytest.mark.skipif(not multiplies_halves(), reason="this processor has no instructions for bfloat16")
PRECISIONS = ["float32", pytest.param("bfloat16", marks=HALVES)]
UNFUSED = {"mpnet", "modernbert"}


@pytest.fixture(autouse=True, params=PRECISIONS)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, exact: None) -> str:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cpu", (request.param,)))
    monkeypatch.setattr(models, "resized", resized)
    monkeypatch.setattr(vino, "installed", lambda: False)  # `test_vino` looks at it
    return str(request.param)


def towers_of(made: Any, family: str) -> Any:
    return encoder(made[family])._inner._loaded()


@pytest.mark.parametrize("family", ALL)
def test_every_family_is_as_fast_as_it_can_be_and_its_rows_lie_beside_the_reference(
    made, loaded, family, precision
) -> None:
    contents = contents_of(family)
    quick = encoder(made[family])
    assert quick.how == {}, "nothing is loaded to tell it"
    rows = quick.encode(contents)
    assert rows.dtype == np.float32
    least = 0.9999 if precision == "float32" else fast.SAME  # pictures are resized by torch, too
    assert (rows * loaded[family].encode(contents)).sum(1).min() >= least
    assert quick.how
    for name, said in quick.how.items():
        if family in UNFUSED or name == "sounds":
            assert said == ("packed, bfloat16" if precision == "bfloat16" else "transformers, float32")
        else:
            assert said == f"fused, {precision}"


@pytest.mark.parametrize("family", ALL)
def test_row_i_depends_on_input_i_alone(made, family, precision) -> None:
    contents = contents_of(family)
    quick = encoder(made[family])
    together = quick.encode(contents)
    alone = np.concatenate([quick.encode([content]) for content in contents])
    assert (together * alone).sum(1).min() >= (0.999999 if precision == "float32" else fast.SAME)


def test_a_way_that_answers_otherwise_is_not_used_and_the_next_one_is(made, loaded, monkeypatch, caplog) -> None:
    def upside_down(*said: Any) -> Any:
        tower = fused.tower(*said)
        return tower and (lambda *given: -tower(*given))

    monkeypatch.setattr(fast, "tower", upside_down)
    quick = encoder(made["clip"])
    rows = quick.encode(contents_of("clip"))
    assert (rows * loaded["clip"].encode(contents_of("clip"))).sum(1).min() >= fast.SAME
    assert "clip images are not fused" in caplog.text
    assert not any("fused" in how for how in quick._inner._loaded().how.values())


@pytest.mark.parametrize("fault", [RuntimeError("mkldnn_bf16_path"), AttributeError("q_proj"), KeyError("gegelu")])
def test_a_model_or_a_processor_that_is_otherwise_goes_on_with_the_reference(made, monkeypatch, caplog, fault) -> None:
    def none(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(packed, "linear", none)
    monkeypatch.setattr(fused, "linear", none)
    monkeypatch.setattr("core.encoders.blocks.linear", none)
    assert set(towers_of(made, "clip").how.values()) == {"transformers, float32"}
    assert type(fault).__name__ in caplog.text


def test_a_difference_that_a_common_mean_hides_is_seen() -> None:
    mean = np.full((8, 64), 100, np.float32)
    parts = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    worst, apart = fast.fidelity({"texts": mean + parts}, {"texts": mean - parts})
    assert worst > fast.SAME
    assert apart < fast.APART
    assert fast.fidelity({"texts": mean + parts}, {"texts": 3 * (mean + parts)}) == pytest.approx((1, 1), abs=1e-5)


def test_a_tower_that_only_a_common_mean_makes_alike_is_not_used(monkeypatch, caplog) -> None:
    mean = np.full((8, 64), 100, np.float32)
    parts = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    reference = Towers(family="bert", model=None, dim=64, texts=lambda *_: mean + parts)
    monkeypatch.setattr(fast, "tower", lambda *_: lambda *_: mean - parts)
    found = fast.fastest(reference, lambda _: reference, {"texts": (np.zeros((8, 2)), np.ones((8, 2)))})
    assert found.texts is reference.texts
    assert "are not fused" in caplog.text


def test_what_is_tried_says_how_near_it_came(made, caplog, precision) -> None:
    caplog.set_level(logging.INFO, "core.encoders.fast")
    towers_of(made, "bert")
    assert f"bert texts: fused, {precision}, cosine " in caplog.text


def test_one_copy_of_the_weights_is_held(made, monkeypatch) -> None:
    seen: list[Any] = []

    def watched(towers: Any, *more: Any) -> Any:
        seen.append(weakref.ref(towers.model))
        return fast.fastest(towers, *more)

    monkeypatch.setattr(loading, "fastest", watched)
    towers = towers_of(made, "siglip")
    gc.collect()
    assert towers.model is None
    assert seen[0]() is None


def test_where_nothing_is_gained_nothing_is_tried(made, monkeypatch) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cpu", ()))
    monkeypatch.setattr(fast, "tower", lambda *_: pytest.fail("it was tried"))
    assert isinstance(towers_of(made, "clip").model, torch.nn.Module)


@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh", "gelu_new", "quick_gelu", "relu"])
def test_an_activation_on_the_way_is_that_of_transformers(activation) -> None:
    torch.manual_seed(0)
    weight, bias, down, x = (torch.randn(*shape) for shape in ((40, 24), (40,), (24, 40), (5, 24)))
    function = transformers.activations.ACT2FN[activation]
    expected = function(x @ weight.T + bias) @ down.T
    if activation == "quick_gelu":
        weight, bias, down = packed.quick(weight, bias, down)
    up = packed.linear(weight, bias, torch.float32, activation)
    torch.testing.assert_close(packed.linear(down, None, torch.float32)(up(x)), expected, rtol=1e-5, atol=1e-4)


def test_an_activation_that_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError):
        packed.linear(torch.ones(2, 2), None, torch.float32, "xielu")


def test_a_preference_decides_and_a_gpu_that_is_not_there_is_said(monkeypatch) -> None:
    from core.encoders import machine
    from core.errors import Misconfigured

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "multiplies_halves", lambda: True)
    monkeypatch.setattr(machine._Preferred, "device", "auto")
    monkeypatch.setattr(machine._Preferred, "precision", "auto")
    assert machine.machine() == Machine("cpu", ("bfloat16", "float32"))
    machine.prefer("cpu", "float32")
    assert machine.machine() == Machine("cpu", ("float32",))
    machine.prefer("cuda", "auto")
    with pytest.raises(Misconfigured, match="QUIVER_DEVICE"):
        machine.machine()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert machine.machine() == Machine("cuda", ("float16", "float32"))
