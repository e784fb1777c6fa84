"""The words in sound: what transformers says itself, with times, for sounds of any length and rate."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.encoders import machine
from core.errors import BadModel, ReaderBroke
from core.readers.registry import Readers
from core.readers.transcript import LONGEST, Transcriber, resampled, stretches
from core.runtime.wiring import open_parts
from core.types import Audio, Modality, Reading
from tests import recognizers
from tests.recognizers import RATE, noise


def nowhere(name: str, revision: str | None) -> Path:
    raise BadModel(f"{name} {revision}")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    return recognizers.whisper(tmp_path_factory.mktemp("models") / "whisper")


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory) -> Path:
    return recognizers.wav2vec2(tmp_path_factory.mktemp("models") / "wav2vec2")


def test_whisper_says_what_transformers_says_with_its_times(whisper):
    sound = noise(30)
    said = Transcriber(str(whisper), nowhere).read(sound)
    told = [one for one in recognizers.said_by_whisper(whisper, sound.samples) if one[1] < LONGEST]
    told = [one for one in told if one[0].strip() and not one[0].startswith("<|")]  # it is shown what nobody says
    assert said
    assert [words for words, _ in said] == [words.strip() for words, _, _ in told]
    spans = [(span.start, min(span.end, LONGEST)) for _, span in said if span]
    assert spans == [pytest.approx((start, min(end, LONGEST))) for _, start, end in told]


def test_a_ctc_model_says_what_transformers_says_with_times_that_grow(wav2vec2):
    sound = noise(4)
    said = Transcriber(str(wav2vec2), nowhere).read(sound)
    assert " ".join(words for words, _ in said) == recognizers.said_by_wav2vec2(wav2vec2, sound.samples).strip()
    spans = [span for _, span in said if span]
    assert len(spans) == len(said) > 3
    assert all(0 <= one.start < one.end <= other.start and other.end <= 4 for one, other in pairwise(spans))


def test_a_long_sound_is_heard_to_its_end(wav2vec2):
    sound = noise(70)
    said = [span for _, span in Transcriber(str(wav2vec2), nowhere).read(sound) if span]
    assert all(one.start <= other.start for one, other in pairwise(said))
    assert said[-1].end == pytest.approx(70, abs=3)


def test_sound_of_another_rate_is_heard_as_the_same(wav2vec2):
    reader = Transcriber(str(wav2vec2), nowhere)
    slow = noise(3, rate=8000)
    fast = Audio(resampled(slow.samples, 8000, 48_000), 48_000)
    assert reader.read(fast) == reader.read(Audio(resampled(slow.samples, 8000, RATE), RATE))


def test_silence_and_clicks_say_nothing(whisper):
    reader = Transcriber(str(whisper), nowhere)
    assert reader.read(Audio(np.zeros(5 * RATE, np.float32), RATE)) == []
    assert reader.read(Audio(np.zeros(0, np.float32), RATE)) == []
    assert reader.read(noise(0.05)) == []


def test_threads_hear_what_one_hears(whisper, wav2vec2):
    for folder in (whisper, wav2vec2):
        reader = Transcriber(str(folder), nowhere)
        sounds = [noise(2, seed=seed) for seed in range(4)]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(reader.read, sounds)) == [reader.read(sound) for sound in sounds]


def test_cuts_are_made_at_the_quietest_place_and_leave_nothing_out():
    wave = noise(100).samples
    wave[25 * RATE : 25 * RATE + RATE // 2] = 0
    found = list(stretches(wave, RATE))
    assert 25 <= found[0][1] / RATE <= 25.5
    assert found[0][0] == 0
    assert found[-1][1] == len(wave)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert all(0 < end - start <= LONGEST * RATE for start, end in found)


@pytest.mark.parametrize(("rate", "to"), [(8000, 16_000), (48_000, 16_000), (44_100, 16_000)])
def test_another_rate_keeps_the_tone(rate, to):
    def tone(at: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(at) / at).astype(np.float32)

    assert np.abs(resampled(tone(rate), rate, to) - tone(to))[100:-100].max() < 0.01


def test_the_rate_is_known_without_weights(wav2vec2):
    wants = Transcriber(str(wav2vec2), nowhere).wants
    assert (wants.contents, wants.rate) == (frozenset({Modality.AUDIO}), RATE)


def test_a_name_that_is_no_folder_is_asked_of_the_hub():
    asked = []

    def snapshot(name: str, revision: str | None) -> Path:
        asked.append((name, revision))
        raise BadModel("offline")

    for name in ("openai/whisper-tiny", "openai/whisper-tiny@abc"):
        with pytest.raises(BadModel):
            _ = Transcriber(name, snapshot).folder
    assert asked == [("openai/whisper-tiny", None), ("openai/whisper-tiny", "abc")]
    with pytest.raises(BadModel, match="there is no folder"):
        _ = Transcriber("/no/such folder", snapshot).folder


def test_a_folder_that_is_no_recognizer_is_refused(tmp_path, wav2vec2):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 16000}')
    with pytest.raises(BadModel, match="cannot be loaded as a recognizer of speech"):
        Transcriber(str(tmp_path), nowhere).read(noise(1))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(BadModel, match="sampling_rate"):
        _ = Transcriber(str(tmp_path), nowhere).wants


def test_what_breaks_inside_is_a_defect_that_names_the_model(wav2vec2):
    with pytest.raises(ReaderBroke, match=f"transcript by {wav2vec2}"):
        Transcriber(str(wav2vec2), nowhere).read(Audio(np.full(RATE, np.nan, np.float32), 0))


@pytest.mark.parametrize("made", ["whisper", "wav2vec2"])
def test_half_the_precision_hears_as_well(request, made):
    folder, sound = str(request.getfixturevalue(made)), noise(4)
    said = Transcriber(folder, nowhere, lambda: ("cpu", "bfloat16")).read(sound)
    assert {span.unit for _, span in said if span} == {"second"}


def test_sound_goes_to_the_device_of_the_model(wav2vec2):
    """`meta`, a device of torch that computes nothing: what comes back of it has no data."""
    with pytest.raises(ReaderBroke, match="no data"):
        Transcriber(str(wav2vec2), nowhere, lambda: ("meta", "float16")).read(noise(4))


def test_the_transcriber_is_where_the_settings_want_models(wav2vec2, tmp_path, monkeypatch):
    settings = {"data": tmp_path, "transcriber": str(wav2vec2)}
    for here, place in (
        (machine.Machine("cuda", ("float16", "float32")), ("cuda", "float16")),
        (machine.Machine("cpu", ("bfloat16", "float32")), ("cpu", "float32")),
    ):
        monkeypatch.setattr(machine, "machine", lambda here=here: here)
        [reader] = open_parts(**settings).readers.of([Reading.TRANSCRIPT])
        assert isinstance(reader, Transcriber)
        assert reader.place() == place


def test_readers_are_made_once_and_say_what_is_not_set(wav2vec2):
    from core.errors import Misconfigured

    readers = Readers(str(wav2vec2), nowhere)
    one = readers.of([Reading.TRANSCRIPT, Reading.CAPTION, Reading.OCR])
    assert [reader.reading for reader in one] == [Reading.OCR, Reading.TRANSCRIPT]
    assert readers.of([Reading.OCR]) == one[:1]
    with pytest.raises(Misconfigured, match="QUIVER_TRANSCRIBER"):
        Readers("", nowhere).of([Reading.TRANSCRIPT])
