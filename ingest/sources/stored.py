"""Objects of a store as a source: what is fetched when it is its turn, and only when it changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.types import Metadata
from ingest.sources.sidecar import Opener, Sidecar


@dataclass(frozen=True, slots=True)
class Stored:
    """An object to be fetched and ingested. `open` gives a stream that can seek, as often as it is asked."""

    external_id: str
    name: str  # a hint of what it is
    open: Opener
    mark: str = ""  # changes when the object does; empty: not known
    metadata: Metadata = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()
