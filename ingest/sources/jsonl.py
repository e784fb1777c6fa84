"""JSON Lines as rows: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from core.errors import BadManifest
from ingest.decode.text import BOM
from ingest.files import reading
from ingest.sources.row import LINE, SOURCES, Item, Place, item_of, kind_of

ALLOWED = (*SOURCES, "id", "metadata")


def json_rows(source: BinaryIO, place: Place | None) -> Iterator[tuple[int, Item | BadManifest]]:
    """What each line gives, or why it gives nothing, with its number. Blank lines are skipped. Raises CorruptMedia."""
    for number, line in lines(source):
        try:
            yield number, _item(line, place)
        except BadManifest as exc:
            yield number, exc


def lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
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


def _item(line: bytes, place: Place | None) -> Item:
    said = _parsed(line)
    unknown = sorted(set(said) - set(ALLOWED))
    if unknown:
        raise BadManifest(f"unknown key {unknown[0]!r}: allowed are {', '.join(ALLOWED)}; the rest goes into metadata")
    metadata = said.get("metadata", {})
    if not isinstance(metadata, dict):
        raise BadManifest(f'"metadata" must be an object, not {kind_of(metadata)}')
    return item_of(said, metadata, place)


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
        raise BadManifest(f"must be an object, not {kind_of(said)}")
    return said


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not in JSON")
