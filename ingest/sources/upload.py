"""Bytes that somebody sent, as a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import BinaryIO

from core.types import Metadata
from ingest.limits import Limits

SPOOL = 2**20  # bytes held in memory; more goes into a temporary file


@dataclass(frozen=True, slots=True)
class Upload:
    """A stream to be ingested, which can seek. Without an external id it is called after its digest."""

    external_id: str
    source: BinaryIO
    name: str = ""  # a hint of what it is, never a path
    metadata: Metadata = field(default_factory=dict)


class Spool(SpooledTemporaryFile[bytes]):
    """Bytes that are kept for as long as somebody holds them, and closed by nobody."""

    def __init__(self) -> None:
        super().__init__(max_size=SPOOL)

    def __del__(self) -> None:
        self.close()


def largest(limits: Limits) -> int:
    """Bytes that a file of any kind may have: what is kept of one whose kind is not known yet."""
    return max(limits.bytes, limits.media_bytes)


def upload_id(digest: str) -> str:
    """The external id of bytes that were given none."""
    return f"file-{digest[:12]}"
