"""Assets, their content and its segments: what every room speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A piece of text; its `language` in ISO 639-1 where it is known."""

    value: str
    language: str = ""
    modality = Modality.TEXT

    @property
    def nbytes(self) -> int:
        """About what it takes to hold."""
        return 2 * len(self.value)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Image:
    """A decoded picture: u8 (height, width, 3), RGB, upright."""

    pixels: Pixels
    modality = Modality.IMAGE

    @property
    def nbytes(self) -> int:
        """What it takes to hold."""
        return self.pixels.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded sound: f32 (n,), mono, -1..1, at `rate` samples a second."""

    samples: NDArray[np.float32]
    rate: int
    modality = Modality.AUDIO

    @property
    def nbytes(self) -> int:
        """What it takes to hold."""
        return self.samples.nbytes


Content = Text | Image | Audio


@dataclass(frozen=True, slots=True)
class Span:
    """Where a segment lies in its asset: half open, in characters or seconds."""

    start: float
    end: float
    unit: Literal["char", "second"]


class Reading(StrEnum):
    """A way to text that is in a thing or beside it, and that an asset is then found by too."""

    CAPTION = "caption"  # what somebody wrote of it
    OCR = "ocr"  # the writing in a picture
    TRANSCRIPT = "transcript"  # the words in a sound


@dataclass(frozen=True, slots=True)
class Segment:
    """The smallest part of an asset that has vectors of its own.

    `source` is how its text was read out of the thing; None: it is a part of the thing itself. Ordinals count from 0 in
    each.
    """

    ordinal: int
    content: Content
    span: Span | None = None
    source: Reading | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of an asset's segments, by growing ordinal: few enough to be held at once. A long film comes in many."""

    segments: Sequence[Segment]
    last: bool  # nothing follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What somebody can use of an asset: a decoder makes nothing else, and may reduce what it makes to this.

    `pixels`: the side that pictures are brought to; a decoder may stop at twice that. 0: native size. `squashed`: the
    whole of a picture becomes that square, whatever its shape, so the long side of a panorama may be reduced further.
    `rate`: samples a second of sound. 0: its own. `seconds`: the longest span of sound in one segment.
    """

    contents: frozenset[Modality] = frozenset({Modality.TEXT, Modality.IMAGE, Modality.AUDIO})
    pixels: int = 0
    squashed: bool = False
    rate: int = 0
    seconds: float = 10.0

    def __or__(self, other: Wants) -> Wants:
        """What serves both: the larger of each. Native size and rate serve everybody."""
        mine, theirs = Modality.IMAGE in self.contents, Modality.IMAGE in other.contents
        seen = [w for w, has in ((self, mine), (other, theirs)) if has]
        pixels = [w.pixels for w in seen]
        heard = [w for w in (self, other) if Modality.AUDIO in w.contents]
        return Wants(
            contents=self.contents | other.contents,
            pixels=0 if 0 in pixels else max(pixels, default=0),
            squashed=bool(seen) and all(w.squashed for w in seen),
            rate=0 if any(not w.rate for w in heard) else max((w.rate for w in heard), default=0),
            seconds=max((w.seconds for w in heard), default=self.seconds),
        )


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
