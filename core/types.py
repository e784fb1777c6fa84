"""Assets, their content and its segments: what every room speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

AssetId = NewType("AssetId", UUID)
Digest = NewType("Digest", str)  # sha-256, 64 hex digits
Tenant = NewType("Tenant", str)
JobId = NewType("JobId", UUID)
KeyId = NewType("KeyId", str)  # 12 small letters and digits; public

Metadata = Mapping[str, Any]  # JSON values; those of declared fields have the declared type
Pixels = NDArray[np.uint8]  # (height, width, 3), RGB


class Modality(StrEnum):
    """What a thing is, to a person."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text."""

    value: str
    modality = Modality.TEXT


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded picture: u8 (height, width, 3), RGB, upright."""

    pixels: Pixels
    modality = Modality.IMAGE


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded sound: f32 (n,), mono, -1..1, at `rate` samples a second."""

    samples: NDArray[np.float32]
    rate: int
    modality = Modality.AUDIO


Content = Text | Image | Audio


@dataclass(frozen=True, slots=True)
class Span:
    """Where a segment lies in its asset: half open, in characters or seconds."""

    start: float
    end: float
    unit: Literal["char", "second"]


@dataclass(frozen=True, slots=True)
class Segment:
    """The smallest part of an asset that has vectors of its own."""

    ordinal: int
    content: Content
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One thing somebody gave us, as the catalogue knows it.

    `generation` grows with every change of bytes or metadata and with every return after a removal.
    """

    id: AssetId
    tenant: Tenant
    collection: str
    external_id: str
    modality: Modality
    media_type: str
    digest: Digest
    size: int  # bytes
    metadata: Metadata
    generation: int
    created_at: datetime
