"""Sound prepared for CLAP as the feature extractor of transformers does it: the log mel spectrogram of one window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.encoders.files import PREPROCESSOR, PROCESSOR, said_by
from core.errors import BadModel
from core.types import Audio

FLOOR = 1e-10  # power that counts as silence, -100 dB

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sound:
    """How a sound is prepared: at `rate`, its first `seconds`, shorter ones repeated and padded, then mels in decibels.

    transformers takes a random window of what is longer; here it is the first, so that the same sound has the same
    vector. Give no more than `seconds` at once.
    """

    rate: int  # samples a second
    seconds: int
    mels: int
    hop: int  # samples between frames
    window: int  # samples of a frame
    low: float  # Hz
    high: float
    slaney: bool  # the filters of librosa, of the unfused models; else those of torchaudio, of the fused ones
    padding: str

    def prepare(self, audio: Audio, filters: NDArray[np.float64]) -> Float:
        """f32 (1, frames, mels)."""
        wave = self._filled(resampled(audio.samples, audio.rate, self.rate)).astype(np.float64)
        padded = np.pad(wave, self.window // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        power = np.abs(np.fft.rfft(frames * hann, axis=1).astype(np.complex64)).astype(np.float64) ** 2
        out: Float = (10.0 * np.log10(np.maximum(FLOOR, power @ filters))).astype(np.float32)
        return out[None]

    def filters(self) -> NDArray[np.float64]:
        """f64 (bins, mels): how much of each frequency is in each mel. Needs transformers."""
        from transformers.audio_utils import mel_filter_bank

        made: NDArray[np.float64] = mel_filter_bank(
            num_frequency_bins=self.window // 2 + 1,
            num_mel_filters=self.mels,
            min_frequency=self.low,
            max_frequency=self.high,
            sampling_rate=self.rate,
            norm="slaney" if self.slaney else None,
            mel_scale="slaney" if self.slaney else "htk",
        )
        return made

    def _filled(self, wave: Float) -> Float:
        whole = self.rate * self.seconds
        wave = wave[:whole] if len(wave) else np.zeros(1, np.float32)
        if self.padding == "repeat":
            wave = np.tile(wave, whole // len(wave) + 1)[:whole]
        elif self.padding == "repeatpad":
            wave = np.tile(wave, whole // len(wave))
        return np.pad(wave, (0, whole - len(wave)))


def resampled(wave: Float, rate: int, to: int) -> Float:
    """At another rate, by cutting or extending its spectrum; its ends are mirrored, so that they do not meet."""
    if rate == to or not len(wave):
        return wave
    size = round(len(wave) * to / rate)
    spectrum = np.fft.rfft(np.concatenate([wave, wave[::-1]]))  # twice as long, and whole: no jump between its ends
    both: Float = np.fft.irfft(spectrum[: size + 1], 2 * size).astype(np.float32) * np.float32(size / len(wave))
    return both[:size]


def sound_of(folder: Path) -> Sound:
    """From what processor_config.json says of sounds, else from preprocessor_config.json. Raises BadModel."""
    said = said_by(folder / PROCESSOR).get("feature_extractor") or said_by(folder / PREPROCESSOR)
    kind = said.get("feature_extractor_type", "ClapFeatureExtractor")
    if kind != "ClapFeatureExtractor":
        raise BadModel(f"{folder}: its sounds are prepared by {kind}; only those of CLAP can be read")
    truncation, padding = said.get("truncation", "fusion"), said.get("padding", "repeatpad")
    if truncation not in ("fusion", "rand_trunc") or padding not in ("repeat", "repeatpad", "pad"):
        raise BadModel(f"{folder}: its preprocessor says {truncation!r} and {padding!r}: correct {PREPROCESSOR}")
    return Sound(
        rate=int(said.get("sampling_rate", 48_000)),
        seconds=int(said.get("max_length_s", 10)),
        mels=int(said.get("feature_size", 64)),
        hop=int(said.get("hop_length", 480)),
        window=int(said.get("fft_window_size", 1024)),
        low=float(said.get("frequency_min", 0)),
        high=float(said.get("frequency_max", 14_000)),
        slaney=truncation != "fusion",
        padding=padding,
    )
