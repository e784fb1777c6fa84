"""A row of a manifest, in whichever form it was written, and what it gives."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadManifest
from core.types import Metadata
from ingest.sources.folder import Found, external_id
from ingest.sources.stored import Stored
from ingest.sources.upload import Upload
from ingest.sources.url import Remote, url_id

SOURCES = ("path", "text", "url")  # of which a row has one
LINE = 16 * 2**20  # bytes; a longer row is refused instead of held in memory


@dataclass(frozen=True, slots=True)
class Inline:
    """A text to be ingested, given in place of a file."""

    external_id: str
    text: str
    metadata: Metadata = field(default_factory=dict)


Item = Found | Inline | Upload | Remote | Stored
Place = Callable[[str, str, Metadata], Item]  # external id, path, metadata


def text_id(text: str) -> str:
    """The external id of a text that was given none."""
    return f"text-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def item_of(said: Mapping[str, Any], metadata: Metadata, place: Place | None) -> Item:
    """What a row gives by its path, text or URL, and its id. `place`: what a path is; None: there may be none.

    Raises BadManifest.
    """
    if sum(key in said for key in SOURCES) != 1:
        raise BadManifest('there must be one of "path", "text" and "url"')
    name = unicodedata.normalize("NFC", _string(said, "id")) if "id" in said else ""
    if "text" in said:
        text = _string(said, "text")
        return Inline(name or text_id(text), text, metadata)
    if "url" in said:
        url = _string(said, "url")
        return Remote(name or url_id(url), url, metadata)
    if place is None:
        raise BadManifest('a "path" would be one of the server: send "text" or "url", or the file by itself')
    path = _string(said, "path")
    if "\0" in path:
        raise BadManifest('"path" must not hold a NUL')
    return place(name or external_id(path), path, metadata)


def _string(said: Mapping[str, Any], key: str) -> str:
    value = said[key]
    if not isinstance(value, str) or not value.strip():
        raise BadManifest(f'"{key}" must be a string that is not empty, not {kind_of(value)}')
    return value


def kind_of(value: Any) -> str:
    """What people call a value of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string" if value.strip() else "an empty string"
        case list():
            return "a list"
        case _:
            return "an object"
