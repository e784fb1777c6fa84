"""Points of another Qdrant collection as a source: their payloads, whose things are embedded here anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from core.errors import BadManifest, BadQuery, Refused
from core.types import Metadata
from ingest.sources.folder import Found
from ingest.sources.row import Item, item_of

SCHEMES = {"qdrant": "http", "qdrants": "https"}  # of the server's own REST interface


@dataclass(frozen=True, slots=True)
class Columns:
    """Which keys of a payload hold what is embedded, and the id; the other keys are the metadata."""

    text: str = "text"
    url: str = "url"
    path: str = "path"
    id: str = ""  # empty: the point's own


def columns_of(said: Mapping[str, str]) -> Columns:
    """`{"text": "body", "id": "sku"}`. Raises BadQuery."""
    if wrong := sorted(set(said) - {"text", "url", "path", "id"}) or sorted(k for k, v in said.items() if not v):
        raise BadQuery(f"{wrong[0]!r}: a column is named as text=FIELD, url=FIELD, path=FIELD or id=FIELD")
    return Columns(**said)


class Payloads(Protocol):
    """Another collection, read. Raises NoSuchCollection, StoreDown."""

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each point's id and payload."""
        ...

    def __len__(self) -> int:
        """How many points it has."""
        ...


def address(url: str) -> tuple[str, str]:
    """The server's URL and the collection of `qdrant://HOST:PORT/COLLECTION`. Raises BadQuery."""
    parts = urlsplit(url)
    name = unquote(parts.path.strip("/"))
    if not parts.hostname or not name or "/" in name or parts.username:
        raise BadQuery(f"{url!r}: write qdrant://HOST:6333/COLLECTION, or qdrants:// where the server speaks TLS")
    return f"{SCHEMES[parts.scheme]}://{parts.netloc}", name


def read_points(payloads: Payloads, name: str, columns: Columns) -> Iterator[Item | Refused]:
    """What each point gives, or a fault that names it. Without a column for the id, the point's id is the asset's."""
    sources = {columns.text: "text", columns.url: "url", columns.path: "path"}
    for point, payload in payloads:
        said = {sources[key]: value for key, value in payload.items() if key in sources and value not in (None, "")}
        said["id"] = str(payload.get(columns.id) or point) if columns.id else point
        metadata = {key: value for key, value in payload.items() if key not in sources and key != columns.id}
        try:
            yield item_of(said, metadata, _here)
        except BadManifest as exc:
            held = ", ".join(map(str, list(payload)[:8])) or "nothing"
            named = f"its payload has {held}: name the field, as in --column text=FIELD"
            yield BadManifest(f"{name}, point {point}: {exc}; {named}")


def _here(name: str, path: str, metadata: Metadata) -> Item:
    return Found(name, Path(path), metadata)
