"""Encoders whose vectors a person can work out, and parts that fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.encoders.registry import Encoders
from core.filters import words
from core.ports import Embeds
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.spaces import Dense, EmbeddingSpace, Metric, Sparse, Vector
from core.types import Audio, Content, Image, Modality, Text, Wants

COLOURS = ("red", "green", "blue")
VOCABULARY = ("cat", "dog", "rocket", "coffee", *COLOURS)


@dataclass
class ColourEncoder:
    """Texts by how often they name red, green and blue; images by their mean colour. Cross-modal, 4-d."""

    space: EmbeddingSpace = field(
        default_factory=lambda: EmbeddingSpace(
            name="colour",
            model="toy",
            revision="1",
            dim=4,
            metric=Metric.COSINE,
            modalities=frozenset({Modality.TEXT, Modality.IMAGE}),
            recipe="counts and means",
        )
    )
    wants = Wants(contents=frozenset({Modality.TEXT, Modality.IMAGE}), pixels=8)
    poison: str = "poison"  # a text that breaks the model

    def encode(self, contents: Sequence[Content]) -> Dense:
        rows = np.array([self._row(content) for content in contents], np.float32).reshape(-1, 4)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def encode_query(self, query: Content) -> Vector:
        return np.asarray(self.encode([query])[0], np.float32)

    def _row(self, content: Content) -> list[float]:
        match content:
            case Text(value):
                if self.poison in value:
                    raise RuntimeError("the model choked")
                said = value.lower().split()
                return [*(float(said.count(colour)) for colour in COLOURS), 0.1]
            case Image(pixels):
                return [*(pixels.reshape(-1, 3).mean(axis=0) / 255.0), 0.1]
            case _:
                raise AssertionError(content)


@dataclass
class WordEncoder:
    """Texts by the words of a tiny vocabulary they hold. Sparse; may be empty."""

    space: EmbeddingSpace = field(
        default_factory=lambda: EmbeddingSpace(
            name="words",
            model="toy",
            revision="1",
            dim=len(VOCABULARY),
            metric=Metric.DOT,
            modalities=frozenset({Modality.TEXT}),
            recipe="one a word",
            sparse=True,
        )
    )

    def encode(self, contents: Sequence[Content]) -> list[Sparse]:
        return [self.encode_query(content) for content in contents]

    def encode_query(self, query: Content) -> Sparse:
        assert isinstance(query, Text)
        held = set(words(query.value))
        at = np.array([i for i, word in enumerate(VOCABULARY) if word in held], np.uint32)
        return Sparse(at, np.ones(len(at), np.float32))


PITCHES = ("low", "middle", "high")  # below 400 Hz, below 2 kHz, above


@dataclass
class PitchEncoder:
    """Texts by how often they name a pitch; sounds by how their energy is divided among the three. Cross-modal, 4-d."""

    space: EmbeddingSpace = field(
        default_factory=lambda: EmbeddingSpace(
            name="pitch",
            model="toy",
            revision="1",
            dim=4,
            metric=Metric.COSINE,
            modalities=frozenset({Modality.TEXT, Modality.AUDIO}),
            recipe="counts and bands",
        )
    )
    wants = Wants(contents=frozenset({Modality.TEXT, Modality.AUDIO}), rate=16_000, seconds=10.0)

    def encode(self, contents: Sequence[Content]) -> Dense:
        rows = np.array([self._row(content) for content in contents], np.float32).reshape(-1, 4)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def _row(self, content: Content) -> list[float]:
        match content:
            case Text(value):
                said = value.lower().split()
                return [*(float(said.count(pitch)) for pitch in PITCHES), 0.1]
            case Audio(samples, rate):
                power = np.abs(np.fft.rfft(samples)) ** 2
                bands = np.digitize(np.fft.rfftfreq(len(samples), 1 / rate), (400, 2000))
                whole = power.sum() or 1.0
                return [*(float(power[bands == at].sum() / whole) for at in range(3)), 0.1]
            case _:
                raise AssertionError(content)


def hearing(_argument: str = "") -> Sequence[Embeds]:
    """The family `hearing`: what `toy` has, and pitches."""
    return [*toy(), PitchEncoder()]


def toy(_argument: str = "") -> Sequence[Embeds]:
    """The family `toy`."""
    return [ColourEncoder(), WordEncoder()]


def toy_parts(data: Path, **settings: Any) -> Parts:
    """Embedded parts whose profile is `toy`, without child processes unless asked for."""
    said = {"profile": "toy", "lanes": 2, "decode": "inline", **settings}
    return Parts(load_settings(data=data, **said), Encoders({"toy": toy, "hearing": hearing}))


class Flaky:
    """A part that counts the calls made to it and, at the nth, does something first: raises or kills."""

    def __init__(self, inner: Any, before: Callable[[str], None]) -> None:
        self._inner, self._before = inner, before

    def __getattr__(self, name: str) -> Any:
        held = getattr(self._inner, name)
        if not callable(held):
            return held

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before(name)
            return held(*args, **kwargs)

        return call
