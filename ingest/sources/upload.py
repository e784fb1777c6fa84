"""Bytes that somebody sent, as a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from core.types import Metadata


@dataclass(frozen=True, slots=True)
class Upload:
    """A stream to be ingested, which can seek. Without an external id it is called after its digest."""

    external_id: str
    source: BinaryIO
    name: str = ""  # a hint of what it is, never a path
    metadata: Metadata = field(default_factory=dict)


def upload_id(digest: str) -> str:
    """The external id of bytes that were given none."""
    return f"file-{digest[:12]}"
