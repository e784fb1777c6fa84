"""CSV (RFC 4180) as rows: a header, and cells that become values of the declared types."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from core.errors import BadManifest
from core.fields import NAME, Fields, FieldType, normal
from ingest.decode.text import BOM
from ingest.files import reading
from ingest.sources.row import LINE, SOURCES, Item, Place, item_of

DELIMITERS = ",;\t"
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

csv.field_size_limit(LINE)  # of the whole process, whose only reader of CSV this is


def header_of(line: bytes) -> tuple[list[str], str] | None:
    """The columns and the delimiter of a first line that is a manifest's header; None: it is none."""
    for delimiter in DELIMITERS:
        try:
            text = line.decode("utf-8").removeprefix(BOM)
            names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter, strict=True), [])]
        except (ValueError, csv.Error):
            continue
        if set(names) & set(SOURCES):
            return names, delimiter
    return None


def csv_rows(source: BinaryIO, place: Place | None, fields: Fields) -> Iterator[tuple[int, Item | BadManifest]]:
    """What each row gives, or why it gives nothing, with the number of its first line.

    Columns are path, text or url, and id; the others are metadata. An empty cell is no value. Raises BadManifest when
    the header cannot be used, CorruptMedia.
    """
    lines = _Lines(source)
    _, first = lines.record()
    header = header_of(first)
    if header is None:
        raise BadManifest("its first line must name the columns, in UTF-8, and one of them path, text or url")
    names, delimiter = header
    _check(names)
    while True:
        number, record = lines.record()
        if not record:
            return
        if not record.strip():
            continue
        try:
            cells = _cells(record, delimiter)
        except BadManifest as exc:
            lines.back()
            yield number, exc
            continue
        try:
            yield number, _item(names, cells, place, fields)
        except BadManifest as exc:
            yield number, exc


def _check(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadManifest(f"column {name!r} is there twice: rename one")
        if name not in (*SOURCES, "id") and not NAME.fullmatch(name):
            raise BadManifest(f"column {name!r}: a metadata key is letters, digits and underscores: rename it")


class _Lines:
    """Lines put together to records: until the quotes are even."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._again: list[bytes] = []  # lines that were read in vain, the next one last
        self._held: list[bytes] = []  # of the last record
        self._number = 1

    def record(self) -> tuple[int, bytes]:
        """The next record and the number of its first line; empty at the end.

        A quote that nothing closes costs its line alone.
        """
        number = self._number
        held = [self._line()]
        size, odd = len(held[0]), held[0].count(b'"') % 2
        while odd and size <= LINE and (more := self._line()):
            held.append(more)
            size += len(more)
            odd ^= more.count(b'"') % 2
        if odd:
            self._again += reversed(held[1:])
            del held[1:]
        self._number += len(held)
        self._held = held
        return number, b"".join(held)

    def back(self) -> None:
        """The record was none: all but its first line is read again."""
        rest = self._held[1:]
        self._again += reversed(rest)
        self._number -= len(rest)

    def _line(self) -> bytes:
        if self._again:
            return self._again.pop()
        with reading():
            line = rest = self._source.readline(LINE + 1)
            while len(rest) > LINE and not rest.endswith(b"\n"):
                rest = self._source.readline(LINE + 1)
        return line


def _cells(record: bytes, delimiter: str) -> list[str]:
    if len(record) > LINE:
        raise BadManifest(f"longer than {LINE:,} bytes: put the text into a file and name its path")
    try:
        return next(csv.reader([record.decode("utf-8")], delimiter=delimiter, strict=True))
    except UnicodeDecodeError as exc:
        raise BadManifest(f"not valid UTF-8 at byte {exc.start}: convert the manifest to UTF-8") from exc
    except csv.Error as exc:
        raise BadManifest(f"not CSV ({exc}): close each quote, and double those inside") from exc


def _item(names: list[str], cells: list[str], place: Place | None, fields: Fields) -> Item:
    if len(cells) != len(names):
        raise BadManifest(f"{len(cells)} cells, but the header has {len(names)} columns: quote cells that hold commas")
    said = {name: cell for name, cell in zip(names, cells, strict=True) if cell != ""}
    metadata = {name: _value(name, cell, fields) for name, cell in said.items() if name not in (*SOURCES, "id")}
    return item_of(said, metadata, place)


def _value(name: str, cell: str, fields: Fields) -> Any:
    """A cell as a value of the field's declared type; as it is where none is. Raises BadManifest."""
    kind = fields.get(name)
    if kind is None or kind is FieldType.TEXT:
        return cell
    try:
        if cell.startswith("["):
            listed = json.loads(cell)
            return [normal(kind, _scalar(kind, one) if isinstance(one, str) else one) for one in listed]
        return normal(kind, _scalar(kind, cell))
    except (ValueError, OverflowError, RecursionError) as exc:
        raise BadManifest(f"column {name!r}: {cell[:60]!r} is no {kind} ({exc})") from exc


def _scalar(kind: FieldType, cell: str) -> Any:
    said = cell.strip()
    match kind:
        case FieldType.INTEGER:
            return int(said)
        case FieldType.FLOAT:
            return float(said)
        case FieldType.BOOL:
            if said.lower() not in _TRUE + _FALSE:
                raise ValueError("write true or false")
            return said.lower() in _TRUE
        case FieldType.GEO:
            return _geo(said)
        case FieldType.KEYWORD | FieldType.DATETIME | FieldType.TEXT:
            return cell


def _geo(said: str) -> Any:
    if said.startswith("{"):
        return json.loads(said)
    lat, comma, lon = said.partition(",")
    if not comma:
        raise ValueError("write LATITUDE,LONGITUDE")
    return {"lat": float(lat), "lon": float(lon)}
