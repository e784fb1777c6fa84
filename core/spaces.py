"""Embedding spaces: where vectors are comparable, and the fingerprint that keeps others out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.types import Modality


class Metric(StrEnum):
    """How nearness is measured. Every score is oriented so that larger is nearer."""

    COSINE = "cosine"
    DOT = "dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpace:
    """One embedding space.

    Everything but `name` decides whether two vectors may be compared, so everything but `name` is in the
    fingerprint. `dim` of a sparse space is the size of its vocabulary.
    """

    name: str
    model: str
    revision: str
    dim: int
    metric: Metric
    modalities: frozenset[Modality]
    recipe: str  # preprocessing, in words or numbers: any change of it makes other vectors
    head: str = ""  # alignment head, when there is one
    sparse: bool = False

    @property
    def fingerprint(self) -> str:
        """12 hex digits over every field but the name."""
        return _fingerprint(self)

    @property
    def vector_name(self) -> str:
        """The named vector that holds this space in every index.

        It carries the fingerprint, so that a query of another model names a vector that is not there instead of
        meeting vectors it cannot be compared with.
        """
        return f"{self.name}-{self.fingerprint}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: what the catalogue keeps with an index."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return said | {"modalities": sorted(self.modalities), "metric": str(self.metric)}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> EmbeddingSpace:
        """The inverse of `as_dict`."""
        modalities = frozenset(Modality(m) for m in said["modalities"])
        return cls(**{**said, "modalities": modalities, "metric": Metric(said["metric"])})


@lru_cache(maxsize=256)  # asked several times a query
def _fingerprint(space: EmbeddingSpace) -> str:
    said = {f.name: getattr(space, f.name) for f in fields(space) if f.name != "name"}
    said["modalities"] = sorted(space.modalities)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse vector: indices u32, strictly increasing, and as many finite values f32. May be empty."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)


Dense = NDArray[np.float32]  # (n, dim) for a batch, (dim,) for one
Vectors = Dense | Sequence[Sparse]  # a batch; row i belongs to content i
Vector = Dense | Sparse  # one


def batched(vectors: Sequence[Vector]) -> Vectors:
    """One batch of the vectors of one space."""
    sparse = [vector for vector in vectors if isinstance(vector, Sparse)]
    return sparse if sparse else np.stack([vector for vector in vectors if not isinstance(vector, Sparse)])
