"""Images are prepared as transformers' own processors do it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.encoders import pictures
from core.encoders.families import read
from tests.checkpoints import FAMILIES, PICTURED, PREPROCESSOR, cosine, picture, prepared


def picture_of(folder: Path) -> pictures.Picture:
    found = read(folder, "", "").design.picture
    assert found is not None
    return found


@pytest.mark.parametrize("resample", [2, 3, 1])
@pytest.mark.parametrize("family", PICTURED)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_a_picture_of_any_shape_is_prepared_as_the_reference_does(made, family, resample, height, width, seed) -> None:
    image = picture(seed, height, width)
    said = replace(picture_of(made[family]), resample=resample)
    strip = family in ("clip", "dinov2") and max(height, width) / min(height, width) > 12
    got, want = said.prepare(image), prepared(made[family], image, resample=resample)
    assert cosine(got, want) > (0.99 if resample == 1 else 0.999)  # Lanczos, which no family uses, rings on noise
    assert strip or np.abs(got - want).max() < 1e-6


def test_a_strip_of_pixels_is_cut_before_it_is_enlarged(made, monkeypatch) -> None:
    sizes = []
    real = PIL.Image.Image.resize

    def resize(self: PIL.Image.Image, size: tuple[int, int], *args: Any, **said: Any) -> PIL.Image.Image:
        sizes.append(size)
        return real(self, size, *args, **said)

    monkeypatch.setattr(PIL.Image.Image, "resize", resize)
    for strip in (picture(1, 2, 4000), picture(1, 4000, 2)):
        got = picture_of(made["clip"]).prepare(strip)
        assert sizes.pop() == (32, 32)
        assert cosine(got, prepared(made["clip"], strip)) > 0.999
        sizes.clear()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preprocessor_may_be_old_new_or_silent(made, copy, family) -> None:
    want = picture_of(made[family])
    folder = copy(family)
    said = json.loads((folder / PREPROCESSOR).read_text())
    (folder / PREPROCESSOR).unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": said, "processor_class": "Any"}))
    assert picture_of(folder) == want
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Any"}))
    kept = (
        {"size": 36, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
        if family == "clip"
        else {"size": said["size"], "do_center_crop": None, "crop_size": None}
    )
    (folder / PREPROCESSOR).write_text(json.dumps(kept))
    assert picture_of(folder) == want
    assert picture_of(folder).prepare(picture(0)) == pytest.approx(prepared(folder, picture(0)), abs=1e-5)
