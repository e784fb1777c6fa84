"""Where OpenVINO is installed, what torch is slow at is computed by it, and is the same."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from core.encoders import efficientnet, fast, vino
from core.encoders.machine import Machine
from core.types import Image
from tests.checkpoints import SOUNDED, encoder, picture
from tests.unit.encoders.test_models import contents_of

pytestmark = pytest.mark.skipif(not vino.installed(), reason="OpenVINO is not installed")


def convolution() -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU6(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers).eval()


def test_batches_of_every_size_from_several_threads_are_those_of_torch() -> None:
    module = convolution()
    inputs = np.random.default_rng(0).standard_normal((7, 3, 20, 20)).astype(np.float32)
    run = vino.compiled(module, inputs[:2], "float32")
    with torch.inference_mode():
        expected = module(torch.from_numpy(inputs)).numpy()
    with ThreadPoolExecutor(4) as pool:
        for size, rows in zip(range(1, 8), pool.map(run, [inputs[:size] for size in range(1, 8)]), strict=True):
            np.testing.assert_allclose(rows, expected[:size], atol=1e-5)


def test_its_converter_finds_nothing_to_report_its_use_with() -> None:
    vino.compiled(convolution(), np.zeros((2, 3, 20, 20), np.float32), "float32")
    assert sys.modules["openvino_telemetry"] is None


def test_a_module_is_run_once_to_be_compiled() -> None:
    runs = []
    module = convolution()
    module[0].register_forward_hook(lambda *_: runs.append(1))
    vino.compiled(module, np.zeros((2, 3, 20, 20), np.float32), "float32")
    assert len(runs) == 1


def test_the_packaged_pictures_are_those_of_torch(monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO, "core.encoders.efficientnet")
    seen = np.stack([efficientnet.prepare(Image(picture(seed, 300, 300).pixels)) for seed in range(3)])
    features, logits = efficientnet.load()(seen)
    assert "runs by OpenVINO" in caplog.text
    monkeypatch.setattr(vino, "installed", lambda: False)
    plain_features, plain_logits = efficientnet.load()(seen)
    assert fast.fidelity({"": plain_features}, {"": features}) == pytest.approx((1, 1), abs=1e-5)
    np.testing.assert_allclose(logits, plain_logits, atol=1e-3)


@pytest.mark.parametrize("wrong", ["otherwise", "not at all"])
def test_packaged_pictures_that_it_makes_wrongly_are_made_by_torch(monkeypatch, caplog, wrong) -> None:
    def compiled(*_: Any) -> Any:
        if wrong == "not at all":
            raise RuntimeError("cannot convert")
        return lambda given: np.random.default_rng(1).random((len(given), 1280), np.float32)

    monkeypatch.setattr(vino, "compiled", compiled)
    features, _ = efficientnet.load()(np.stack([efficientnet.prepare(picture(0, 300, 300))]))
    assert features.shape == (1, 1280)
    assert "EfficientNet runs by torch" in caplog.text


@pytest.mark.parametrize("family", SOUNDED)
def test_sounds_are_heard_by_it_and_are_those_of_the_reference(made, loaded, monkeypatch, family) -> None:
    monkeypatch.setattr(fast, "machine", lambda: Machine("cpu", ("float32",)))
    quick = encoder(made[family])
    contents = contents_of(family)
    assert (quick.encode(contents) * loaded[family].encode(contents)).sum(1).min() >= 0.9999
    assert quick._inner._loaded().how["sounds"] == "OpenVINO, float32"
