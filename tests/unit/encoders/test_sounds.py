"""Sounds are prepared as transformers' own feature extractor does it."""

from __future__ import annotations

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from core.encoders.sounds import resampled, sound_of
from core.errors import BadModel
from core.types import Audio
from tests.checkpoints import PREPROCESSOR, SOUNDED, changed, cosine, encoder, heard_as, sound


@pytest.mark.parametrize("padding", ["repeat", "repeatpad", "pad"])
@pytest.mark.parametrize("family", SOUNDED)
def test_a_sound_of_any_length_is_prepared_as_the_reference_does(copy, family, padding) -> None:
    folder = copy(family)
    changed(PREPROCESSOR, padding=padding)(folder)
    said = sound_of(folder)
    for seconds in (0.001, 0.3, 0.5, 0.99, 1.0):
        audio = sound(3, seconds)
        got, want = said.prepare(audio, said.filters()), heard_as(folder, audio)[:1]
        assert got.shape == want.shape == (1, 101, 16)
        assert cosine(got, want) >= 0.999
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_the_defaults_are_those_of_the_published_models(tmp_path) -> None:
    transformers.ClapFeatureExtractor().save_pretrained(tmp_path)
    said, audio = sound_of(tmp_path), sound(1, 4.0)
    (tmp_path / PREPROCESSOR).unlink()
    assert said == sound_of(tmp_path)
    got, want = said.prepare(audio, said.filters()), heard_as_default(audio)
    assert got.shape == (1, 1001, 64)
    assert cosine(got, want[:1]) >= 0.999


def heard_as_default(audio: Audio) -> np.ndarray:
    extractor = transformers.ClapFeatureExtractor()
    return np.asarray(extractor(audio.samples, sampling_rate=48_000)["input_features"][0])


def test_of_a_longer_sound_the_first_window_is_heard_every_time(loaded) -> None:
    long = sound(2, 2.5)
    first = Audio(long.samples[:48_000], 48_000)
    np.testing.assert_array_equal(loaded["clap"].encode([long]), loaded["clap"].encode([first]))


def test_silence_and_nothing_have_a_finite_unit_row(loaded) -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(48_000, np.float32)):
        row = loaded["clap"].encode_query(Audio(samples, 48_000))
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


@given(st.sampled_from([8000, 16_000, 22_050, 44_100, 96_000]), st.integers(200, 3500))
def test_a_tone_is_the_same_tone_at_another_rate(rate, pitch) -> None:
    here, there = (np.sin(2 * np.pi * pitch * np.arange(n) / n).astype(np.float32) for n in (rate, 48_000))
    got = resampled(here, rate, 48_000)
    assert len(got) == 48_000
    assert cosine(got[2000:-2000], there[2000:-2000]) > 0.999
    assert np.abs(got[2000:-2000] - there[2000:-2000]).max() < 0.05


def test_a_sound_at_another_rate_is_heard_as_it_is(loaded) -> None:
    at = np.arange(96_000) / 96_000
    tone = np.sin(2 * np.pi * 900 * at).astype(np.float32)
    rows = loaded["clap"].encode([Audio(tone, 96_000), Audio(tone[::2].copy(), 48_000), sound(5)])
    assert rows[0] @ rows[1] > 0.999
    assert rows[0] @ rows[2] < rows[0] @ rows[1]


def test_a_preprocessor_that_does_not_fit_the_model_is_refused(copy) -> None:
    for said, why in (
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "prepared by WhisperFeatureExtractor"),
        ({"truncation": "fusion"}, "fused in one of"),
        ({"truncation": "other"}, "correct preprocessor_config.json"),
        ({"feature_size": 32}, "makes 32 mels"),
    ):
        folder = copy("clap", why)
        changed(PREPROCESSOR, **said)(folder)
        with pytest.raises(BadModel, match=why):
            encoder(folder)
