"""Where the time of `Quiver.search` by words goes: the encoder, the store, fusion, stages and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.phrases import phrase
from core.encoders.registry import Encoders
from core.ports import Encoder, VectorStore
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.spaces import Dense, EmbeddingSpace
from core.types import Text
from quiver import Quiver

RERANKED = 20  # searches with a cross-encoder: of a second or so each
WARM = 50
PARTS = ("whole", "encode", "store", "fuse", "rerank", "the rest", "all but encode and store")


@dataclass(slots=True)
class Clock:
    """Seconds spent in a part so far."""

    spent: float = 0.0


class Timed:
    """A part, some of whose calls are timed."""

    def __init__(self, inner: Any, calls: Sequence[str], clock: Clock) -> None:
        self._inner, self._calls, self._clock = inner, calls, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._calls:
            return found

        def call(*args: Any, **said: Any) -> Any:
            began = perf_counter()
            try:
                return found(*args, **said)
            finally:
                self._clock.spent += perf_counter() - began

        return call


@dataclass(frozen=True)
class Watched(Parts):
    """The parts, with a clock at the store."""

    store_clock: Clock = field(default_factory=Clock)

    def _store(self) -> VectorStore:
        timed: Any = Timed(super()._store(), ("search", "count"), self.store_clock)
        store: VectorStore = timed
        return store


@dataclass(frozen=True, slots=True)
class Spoken:
    """The packaged text encoder at its own cost; what it says is then replaced by the vector of the phrase's number."""

    vectors: Dense
    space: EmbeddingSpace
    encoder: Encoder

    def encode(self, contents: Sequence[Any]) -> Dense:
        """Every content by its number."""
        return np.stack([self.encode_query(content) for content in contents])

    def encode_query(self, query: Any) -> Dense:
        """The vector of that number, after the encoder has read the words."""
        assert isinstance(query, Text)
        self.encoder.encode_query(query)
        row: Dense = self.vectors[int(query.value.rstrip(".").rpartition(" ")[2])]
        return row


def split(folder: Path, profile: str, space: EmbeddingSpace, vectors: Dense, rounds: int) -> dict[str, Any]:
    """Percentiles in milliseconds of each part, of plain searches and of some with a cross-encoder. `folder` is a data
    folder with a collection `bench` that holds vectors of the space."""
    clock = Clock()
    concept = next(each for each in Encoders().of_profile("packaged") if each.space.name == "concept")
    spoken: Any = Timed(Spoken(vectors, space, concept), ("encode_query",), clock)
    settings = load_settings(data=folder, profile=profile, tenant="bench")
    parts = Watched(settings, Encoders({profile: lambda _: [spoken]}))
    with Quiver(parts) as quiver:

        def took(number: int, **more: Any) -> dict[str, float]:
            clock.spent = parts.store_clock.spent = 0.0
            began = perf_counter()
            answer = quiver.search("bench", phrase(number), limit=10, **more)
            whole = perf_counter() - began
            said = {"whole": whole, "encode": clock.spent, "store": parts.store_clock.spent}
            said |= {stage: answer.seconds[stage] for stage in ("fuse", "rerank")}
            said["the rest"] = whole - sum(said[part] for part in ("encode", "store", "fuse", "rerank"))
            said["all but encode and store"] = whole - said["encode"] - said["store"]
            return said

        for number in range(WARM):
            took(number % len(vectors))
        plain = [took(number) for _ in range(rounds) for number in range(len(vectors))]
        took(0, rerank=["cross-encoder"])
        reranked = [took(number, rerank=["cross-encoder"]) for number in range(RERANKED)]
    return {"plain": percentiles(plain), "with a cross-encoder": percentiles(reranked)}


def percentiles(said: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Part to p50 and p99, in milliseconds."""
    return {
        part: {f"p{at}_ms": round(float(np.percentile([one[part] for one in said], at)) * 1000, 3) for at in (50, 99)}
        for part in PARTS
    }
