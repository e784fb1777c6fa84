"""Manifests as a source: rows of JSON Lines, CSV or Parquet, each naming a thing and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from core.errors import BadManifest
from core.fields import Fields
from core.types import Metadata
from ingest.decode.text import BOM
from ingest.files import opened, reading
from ingest.sources.csv_rows import csv_rows, header_of
from ingest.sources.folder import Found
from ingest.sources.jsonl import json_rows
from ingest.sources.parquet import MAGIC, parquet_rows
from ingest.sources.row import Inline, Item, Place, text_id
from ingest.sources.seen import Seen

Form = Literal["jsonl", "csv", "parquet"]
MEDIA_TYPES: dict[Form, str] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
FORMS: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}

__all__ = [
    "FORMS",
    "MEDIA_TYPES",
    "Form",
    "Inline",
    "Item",
    "form_of",
    "read_manifest",
    "read_rows",
    "read_sent",
    "text_id",
]


def read_manifest(path: Path, fields: Fields | None = None) -> Iterator[Item | BadManifest]:
    """Its items in order, and in place of each row that cannot be read a fault that says which and why.

    A line is `{"path": ..., "id": ..., "metadata": {...}}` or the same with "text" or "url" for "path"; a table has
    columns of these names, and its other columns are the metadata. Paths are relative to the manifest; a path or URL is
    the id unless there is one. `fields` are declared: cells of CSV become values of their types. Raises NoSuchPath,
    UnsupportedMedia, CorruptMedia or BadManifest when the manifest itself cannot be read, MissingExtra.
    """
    with opened(path) as source:
        form = FORMS.get(path.suffix.lower(), "jsonl")
        yield from read_rows(source, form, path.name, partial(_beside, path.parent), fields)


def _beside(folder: Path, name: str, path: str, metadata: Metadata) -> Item:
    return Found(name, folder / path, metadata)


def read_rows(
    source: BinaryIO, form: Form, name: str, place: Place, fields: Fields | None = None
) -> Iterator[Item | BadManifest]:
    """The same of a stream; `place` is what a path in it is."""
    what = "row" if form == "parquet" else "line"
    for number, item in _numbered(source, form, place, fields or {}):
        yield BadManifest(f"{name}, {what} {number}: {item}") if isinstance(item, BadManifest) else item


def read_sent(source: BinaryIO, fields: Fields | None = None) -> Iterator[tuple[int, Item | BadManifest]]:
    """The same of a manifest that somebody sent, its form seen from its content, with the numbers of its lines: a path
    is refused, for it would be one of this machine. Raises CorruptMedia when it cannot be read to its end."""
    return _numbered(source, form_of(source), None, fields or {})


def form_of(source: BinaryIO) -> Form:
    """What a manifest is written in, by its beginning; `source` can seek, and is left at its beginning.

    CSV when the first line is a header with path, text or url; JSON Lines otherwise, whose lines say what is wrong.
    """
    with reading():
        source.seek(0)
        head = source.readline(65_536)
        source.seek(0)
    if head.startswith(MAGIC):
        return "parquet"
    if head.removeprefix(BOM.encode()).lstrip().startswith(b"{"):
        return "jsonl"
    return "csv" if header_of(head) else "jsonl"


def _numbered(
    source: BinaryIO, form: Form, place: Place | None, fields: Fields
) -> Iterator[tuple[int, Item | BadManifest]]:
    match form:
        case "jsonl":
            rows = json_rows(source, place)
        case "csv":
            rows = csv_rows(source, place, fields)
        case "parquet":
            rows = parquet_rows(source, place, fields)
    with closing(Seen()) as seen:
        for number, item in rows:
            if isinstance(item, BadManifest):
                yield number, item
                continue
            first = seen.first(item.external_id, str(number))
            said = BadManifest(f"{item.external_id!r} is already on line {first}")
            yield number, item if first is None else said
