"""Pictures resized by torch are those that Pillow makes, or Pillow makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Resampling

from core.encoders import resizing
from core.encoders.resizing import agrees, by_pillow, by_torch, resized, side_by_side
from tests.photos import picture

BOTH = [Resampling.BILINEAR, Resampling.BICUBIC]
SIDES = st.integers(1, 300)


@pytest.mark.parametrize("how", BOTH)
def test_this_processor_resizes_by_torch(how) -> None:
    assert agrees(how)


@pytest.mark.parametrize("how", BOTH)
@given(shape=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), seed=st.integers(0, 9))
def test_noise_of_every_shape_is_that_of_pillow_but_for_rounding(how, shape, size, seed) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    made = by_torch(noise, size, how)
    assert made.shape == (*size, 3)
    assert made.dtype == np.uint8
    assert side_by_side(noise, size, how) <= 0.6


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("size", [(224, 298), (100, 70), (600, 800)])
def test_a_photo_is_nearly_the_same_to_the_last_bit(how, size) -> None:
    assert side_by_side(np.array(picture(640, 480)), size, how) < 0.02


def test_pixels_that_cannot_be_written_to_are_left_alone(recwarn) -> None:
    pixels = np.asarray(picture(64, 48))
    assert not pixels.flags.writeable
    assert resized(pixels, (24, 32), Resampling.BICUBIC).shape == (24, 32, 3)
    assert not recwarn.list


@pytest.mark.parametrize("how", [Resampling.NEAREST, Resampling.LANCZOS])
def test_what_torch_has_no_filter_for_is_made_by_pillow(how) -> None:
    pixels = np.array(picture(64, 48))
    assert np.array_equal(resized(pixels, (24, 32), how), by_pillow(pixels, (24, 32), how))


@pytest.mark.parametrize("raises", [False, True])
def test_a_torch_that_resizes_otherwise_is_not_used(monkeypatch, caplog, raises) -> None:
    real = torch.nn.functional.interpolate

    def aliased(given: torch.Tensor, size: tuple[int, int], mode: str, antialias: bool) -> torch.Tensor:
        if raises:
            raise RuntimeError("not implemented for Byte")
        return real(given.float(), size, mode=mode, antialias=False).clamp(0, 255).to(torch.uint8)

    resizing.agrees.cache_clear()
    monkeypatch.setattr(torch.nn.functional, "interpolate", aliased)
    try:
        pixels = np.array(picture(64, 48))
        assert np.array_equal(
            resized(pixels, (24, 32), Resampling.BICUBIC), by_pillow(pixels, (24, 32), Resampling.BICUBIC)
        )
        assert "resized by Pillow" in caplog.text
    finally:
        resizing.agrees.cache_clear()
