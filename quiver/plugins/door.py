"""What a plug-in needs of a door, embedded or remote, and how it tells of a hit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from core.errors import MissingExtra, NoSuchAsset
from core.records import Failure
from core.types import Modality, Span
from ingest.decode.text import BOM
from quiver.reports import Added, AssetView, CollectionStatus, Removed
from retrieval.expression import Where
from retrieval.request import Answer, Hit

PathLike = str | Path


@runtime_checkable
class Door(Protocol):
    """One tenant's assets. A `Quiver` is one."""

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        where: Where = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> Answer:
        """Hits, best first."""

    def status(self, collection: str | None = None) -> Sequence[CollectionStatus]:
        """One collection, or all."""

    def show(self, collection: str, key: str | UUID) -> AssetView:
        """One asset by id or external id. Raises NoSuchAsset."""

    def content(self, collection: str, key: str | UUID) -> bytes:
        """The original bytes of an asset. Raises NoSuchAsset."""

    def remove(self, collection: str, *keys: str | UUID) -> Removed:
        """Remove assets by id or external id: found no more on return."""

    def add(
        self,
        collection: str,
        *,
        text: str | None = None,
        file: PathLike | bytes | None = None,
        url: str | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Added:
        """Take in one thing under an external id; one that is there is replaced."""

    def add_texts(self, collection: str, texts: Sequence[tuple[str | None, str, Mapping[str, Any]]]) -> Sequence[Added]:
        """Take in texts: external id, text, metadata."""

    def wait(self, collection: str, *keys: str | UUID, timeout: float | None = None) -> None:
        """Until these are indexed or have failed. Raises Unavailable when that takes longer, in seconds."""

    def failures(self, collection: str) -> Sequence[Failure]:
        """What could not be indexed, newest first."""


RESERVED = frozenset({"_id", "_external_id", "_collection", "_modality", "_media_type", "_score", "_span"})


def missing(framework: str, extra: str) -> MissingExtra:
    """The fault of a plug-in whose framework is not installed."""
    return MissingExtra(f"{framework} is not installed: pip install 'quiver[{extra}]'")


def passage(door: Door, collection: str, hit: Hit) -> str:
    """All of the text segment that matched best; of what has no text, the external id."""
    match = next((match for match in hit.matches if match.text), None)
    if match is None or not match.text:
        return hit.external_id
    span = match.span
    if span is None or span.unit != "char" or span.end - span.start <= len(match.text):
        return match.text
    try:  # a hit quotes the beginning
        whole = text_of(door.content(collection, hit.asset))[int(span.start) : int(span.end)]
    except NoSuchAsset:
        return match.text
    return whole if whole.startswith(match.text) else match.text  # unless it was replaced since it was found


def text_of(content: bytes) -> str:
    """What spans of a text count in."""
    return content.decode("utf-8", errors="replace").removeprefix(BOM)


def described(collection: str, hit: Hit) -> dict[str, Any]:
    """The metadata of the asset and, under the names of RESERVED, what is known of the hit."""
    return {
        **hit.metadata,
        "_id": str(hit.asset),
        "_external_id": hit.external_id,
        "_collection": collection,
        "_modality": str(hit.modality),
        "_media_type": hit.media_type,
        "_score": hit.score,
        "_span": span_of(next((match.span for match in hit.matches if match.text), None)),
    }


def span_of(span: Span | None) -> dict[str, Any] | None:
    """A span as JSON: characters are counted, seconds are measured."""
    if span is None:
        return None
    start, end = (int(span.start), int(span.end)) if span.unit == "char" else (span.start, span.end)
    return {"start": start, "end": end, "unit": span.unit}


def own(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what `described` added, so that what was found can be put in again."""
    return {name: value for name, value in metadata.items() if name not in RESERVED}
