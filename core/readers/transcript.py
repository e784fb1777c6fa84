"""The words in sound, by a recognizer of speech that transformers loads: Whisper (Radford et al. 2022) and other
sequence models, or CTC models such as wav2vec 2.0 (Baevski et al. 2020)."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadModel, MissingExtra
from core.reader import Phrase
from core.readers.seam import translated
from core.types import Audio, Content, Modality, Reading, Span, Wants

LONGEST = 30.0  # seconds that are heard at once: what Whisper was trained on
SHORTEST = 0.1  # seconds; less is no word, and too little for the first layers
QUIET = 0.2  # seconds of a pause that a cut may be made in
SILENCE = 1e-4  # amplitude, -80 dB: a recognizer makes words up where there is nothing

Float = NDArray[np.float32]
Heard = list[tuple[str, float, float]]  # words, and their seconds
Snapshot = Callable[[str, str | None], Path]  # the folder of a hub model, downloaded if need be; BadModel
Place = Callable[[], tuple[str, str]]  # the device and the type of floats of a model, as torch names them

_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


@dataclass(eq=False)
class Transcriber:
    """Phrases with their seconds. `model`: a folder, HUB_ID or HUB_ID@REVISION, by safetensors."""

    model: str
    snapshot: Snapshot
    place: Place = lambda: ("cpu", "float32")
    reading = Reading.TRANSCRIPT
    _hear: Callable[[Float], Heard] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def folder(self) -> Path:
        """Where the model lies; a hub model is downloaded. Raises BadModel."""
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            return folder
        named = _HUB_ID.fullmatch(self.model)
        if named is None:
            raise BadModel(f"QUIVER_TRANSCRIBER: there is no folder {self.model}: name one, or a hub id")
        return self.snapshot(named["id"], named["revision"])

    @cached_property
    def rate(self) -> int:
        """Samples a second that the model hears."""
        for name in ("processor_config.json", "preprocessor_config.json"):
            path = self.folder / name
            said = json.loads(path.read_bytes()) if path.is_file() else {}
            if rate := said.get("feature_extractor", said).get("sampling_rate"):
                return int(rate)
        raise BadModel(f"{self.folder} has no preprocessor_config.json with a sampling_rate: copy it from its origin")

    @cached_property
    def wants(self) -> Wants:
        """Port. Sounds may come in spans as short as encoders like them: who reads joins them again."""
        return Wants(contents=frozenset({Modality.AUDIO}), rate=self.rate)

    def read(self, content: Content) -> list[Phrase]:
        """Port."""
        assert isinstance(content, Audio)
        with translated(self.reading, self.model):
            wave = resampled(content.samples, content.rate, self.rate)
            out: list[Phrase] = []
            for start, end in stretches(wave, self.rate):
                said = self._loaded()(wave[start:end])
                begin, most = start / self.rate, (end - start) / self.rate
                for words, since, until in said:
                    span = Span(begin + min(since, most), begin + min(max(since, until), most), "second")
                    out += [(words.strip(), span)] if words.strip() else []
            return out

    def _loaded(self) -> Callable[[Float], Heard]:
        with self._lock:
            if self._hear is None:
                self._hear = load(self.folder, self.rate, *self.place())
            return self._hear


def stretches(wave: Float, rate: int) -> Iterator[tuple[int, int]]:
    """Where to cut: at most LONGEST apart, at the quietest place of the last third. Silent stretches are left out."""
    longest, pause = int(LONGEST * rate), max(1, int(QUIET * rate))
    start = 0
    while start < len(wave):
        end = len(wave)
        if end - start > longest:
            low = start + 2 * longest // 3
            power = np.square(wave[low : start + longest], dtype=np.float64)
            sums = np.concatenate([[0.0], np.cumsum(power)])
            end = low + int(np.argmin(sums[pause:] - sums[:-pause])) + pause // 2
        if end - start >= SHORTEST * rate and np.abs(wave[start:end]).max() > SILENCE:
            yield start, end
        start = end


def resampled(wave: Float, rate: int, to: int) -> Float:
    """At another rate, by cutting or extending its spectrum; its ends are mirrored, so that they do not meet."""
    if rate == to or not len(wave):
        return wave
    size = max(1, round(len(wave) * to / rate))
    spectrum = np.fft.rfft(np.concatenate([wave, wave[::-1]]))
    out: Float = np.fft.irfft(spectrum[: size + 1], 2 * size)[:size].astype(np.float32) * np.float32(size / len(wave))
    return out


def load(folder: Path, rate: int, device: str, dtype: str) -> Callable[[Float], Heard]:
    """The model, as a function of f32 (n,) of at most LONGEST. Raises MissingExtra, BadModel."""
    try:
        import torch
        import transformers
        from transformers.models.auto import modeling_auto as known
    except ImportError as exc:
        raise MissingExtra(f"reading transcripts needs torch and transformers: {exc}") from exc
    torch.set_num_threads(1)  # lanes are what runs side by side
    for name in ("generation", "models.whisper"):
        logging.getLogger(f"transformers.{name}").setLevel(logging.ERROR)  # what they remark is for programmers
    notes: Any = transformers.utils.logging
    bars = notes.is_progress_bar_enabled()
    notes.disable_progress_bar()  # over tensors: a second's work
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config: Any = transformers.AutoConfig.from_pretrained(folder, **local)
        sequence = config.model_type in known.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
        kind: Any = transformers.AutoModelForSpeechSeq2Seq if sequence else transformers.AutoModelForCTC
        model, told = kind.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **local
        )
        prepared: Any = transformers.AutoFeatureExtractor
        extractor: Any = prepared.from_pretrained(folder, **local)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **local)
    except Exception as exc:
        raise BadModel(f"{folder} cannot be loaded as a recognizer of speech: {type(exc).__name__}: {exc}") from exc
    finally:
        if bars:
            notes.enable_progress_bar()
    if told["missing_keys"]:  # transformers would make them up
        raise BadModel(f"{folder}: weights are missing: {', '.join(sorted(told['missing_keys'])[:3])}, perhaps others")
    model.eval().to(device, getattr(torch, dtype))
    whisper = config.model_type == "whisper"
    read = _whisper if whisper else _sequence if sequence else _ctc
    masked = {"return_attention_mask": True} if whisper else {}  # others know whether they want one

    def hear(wave: Float) -> Heard:
        with torch.inference_mode():
            said = extractor(wave, sampling_rate=rate, return_tensors="pt", **masked)
            floats = {name: one.to(model.dtype) for name, one in said.items() if one.is_floating_point()}
            there = {name: one.to(model.device) for name, one in {**said, **floats}.items()}
            return read(model, tokenizer, there, len(wave) / rate)

    return hear


def _whisper(model: Any, tokenizer: Any, said: dict[str, Any], seconds: float) -> Heard:
    """Phrases with the times that the model writes between them."""
    told = model.generate(**said, return_timestamps=True, return_segments=True)
    return [
        (tokenizer.decode(one["tokens"], skip_special_tokens=True), float(one["start"]), float(one["end"]))
        for one in told["segments"][0]
        if float(one["start"]) < seconds
    ]


def _sequence(model: Any, tokenizer: Any, said: dict[str, Any], seconds: float) -> Heard:
    """One phrase: other sequence models write no times."""
    tokens = model.generate(**said)
    return [(tokenizer.decode(tokens[0], skip_special_tokens=True), 0.0, seconds)]


def _ctc(model: Any, tokenizer: Any, said: dict[str, Any], seconds: float) -> Heard:
    """Words, each where its first and last letter are likeliest; one phrase when the tokenizer keeps no places."""
    likeliest = model(**said).logits[0].argmax(dim=-1).cpu()
    step = seconds / max(1, len(likeliest))  # seconds a frame
    try:
        words = tokenizer.decode(likeliest, output_word_offsets=True)["word_offsets"]
    except (TypeError, KeyError, ValueError):
        return [(tokenizer.decode(likeliest), 0.0, seconds)]
    return [(one["word"], float(one["start_offset"]) * step, float(one["end_offset"]) * step) for one in words]
