"""A checkpoint of transformers: what its small files say of how it embeds, no weight loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.encoders.pictures import Picture
from core.encoders.sentences import LONGEST
from core.encoders.sounds import Sound
from core.encoders.towers import Family, Pooling
from core.spaces import EmbeddingSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How a text is read."""

    tokens: int  # the most that is read, with those that mark its ends
    characters: int = LONGEST  # what follows is cut off before tokens are counted
    lower: bool = False
    full: bool = False  # padded to `tokens`, whatever its length
    query: str = ""  # what stands before a query
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How a model embeds: what is None it does not."""

    family: Family
    name: str  # of its space
    dim: int
    recipe: str
    wording: Wording | None = None
    picture: Picture | None = None
    sound: Sound | None = None
    pooling: Pooling = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model that can be loaded."""

    folder: Path
    kind: str  # the model_type of config.json
    design: Design
    space: EmbeddingSpace
