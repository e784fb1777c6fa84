"""A JSON Lines manifest as a source: one object a line."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from core.errors import BadManifest
from core.types import Metadata
from ingest.decode.text import BOM
from ingest.files import opened, reading
from ingest.sources.folder import Found, external_id
from ingest.sources.upload import Upload
from ingest.sources.url import Remote, url_id

SOURCES = ("path", "text", "url")  # of which a line has one
ALLOWED = (*SOURCES, "id", "metadata")
LINE = 16 * 2**20  # bytes; a longer line is refused instead of held in memory


@dataclass(frozen=True, slots=True)
class Inline:
    """A text to be ingested, given in place of a file."""

    external_id: str
    text: str
    metadata: Metadata = field(default_factory=dict)


Item = Found | Inline | Upload | Remote


def text_id(text: str) -> str:
    """The external id of a text that was given none."""
    return f"text-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def read_manifest(path: Path) -> Iterator[Item | BadManifest]:
    """Its items in order, and in place of each line that cannot be read a fault that says which and why.

    A line is `{"path": ..., "id": ..., "metadata": {...}}` or the same with "text" or "url" for "path"; paths are
    relative to the manifest; a path or URL is the id unless there is one. Blank lines are skipped. Raises NoSuchPath,
    UnsupportedMedia or CorruptMedia when the manifest itself cannot be read.
    """
    with opened(path) as source:
        for number, item in _numbered(source, path.parent):
            yield BadManifest(f"{path.name}, line {number}: {item}") if isinstance(item, BadManifest) else item


def read_sent(source: BinaryIO) -> Iterator[tuple[int, Item | BadManifest]]:
    """The same of a manifest that somebody sent, with the numbers of its lines: a path is refused, for it would be one
    of this machine. Raises CorruptMedia when it cannot be read to its end."""
    return _numbered(source, None)


def _numbered(source: BinaryIO, folder: Path | None) -> Iterator[tuple[int, Item | BadManifest]]:
    seen: dict[str, int] = {}
    for number, line in _lines(source):
        try:
            item = _item(line, folder)
        except BadManifest as exc:
            yield number, exc
            continue
        first = seen.setdefault(item.external_id, number)
        yield number, item if first == number else BadManifest(f"{item.external_id!r} is already on line {first}")


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1; of one that is too long the first LINE + 1 bytes."""
    number = 0
    while True:
        with reading():
            line = rest = source.readline(LINE + 1)
            while len(rest) > LINE and not rest.endswith(b"\n"):
                rest = source.readline(LINE + 1)
        number += 1
        if not line:
            return
        if number == 1:
            line = line.removeprefix(BOM.encode())
        if line.strip():
            yield number, line


def _item(line: bytes, folder: Path | None) -> Item:
    """`folder`: what paths are relative to; None: there may be none."""
    said = _parsed(line)
    unknown = sorted(set(said) - set(ALLOWED))
    if unknown:
        raise BadManifest(f"unknown key {unknown[0]!r}: allowed are {', '.join(ALLOWED)}; the rest goes into metadata")
    if sum(key in said for key in SOURCES) != 1:
        raise BadManifest('there must be one of "path", "text" and "url"')
    metadata = said.get("metadata", {})
    if not isinstance(metadata, dict):
        raise BadManifest(f'"metadata" must be an object, not {_kind(metadata)}')
    if "text" in said:
        text = _string(said, "text")
        return Inline(_id(said) or text_id(text), text, metadata)
    if "url" in said:
        url = _string(said, "url")
        return Remote(_id(said) or url_id(url), url, metadata)
    if folder is None:
        raise BadManifest('a "path" would be one of the server: send "text" or "url", or the file by itself')
    path = _string(said, "path")
    if "\0" in path:
        raise BadManifest('"path" must not hold a NUL')
    return Found(_id(said) or external_id(path), folder / path, metadata)


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > LINE:
        raise BadManifest(f"longer than {LINE:,} bytes: put the text into a file and name its path")
    try:
        said = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        if b"\\u" in line:
            json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair parses, but nothing can store it
    except UnicodeDecodeError as exc:
        raise BadManifest(f"not valid UTF-8 at byte {exc.start}: convert the manifest to UTF-8") from exc
    except UnicodeEncodeError as exc:
        raise BadManifest("half of a surrogate pair (\\ud800 to \\udfff) is no character") from exc
    except (ValueError, RecursionError) as exc:
        raise BadManifest(f"not JSON ({exc})") from exc
    if not isinstance(said, dict):
        raise BadManifest(f"must be an object, not {_kind(said)}")
    return said


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not in JSON")


def _string(said: dict[str, Any], key: str) -> str:
    value = said[key]
    if not isinstance(value, str) or not value.strip():
        raise BadManifest(f'"{key}" must be a string that is not empty, not {_kind(value)}')
    return value


def _id(said: dict[str, Any]) -> str:
    return unicodedata.normalize("NFC", _string(said, "id")) if "id" in said else ""


def _kind(value: Any) -> str:
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
