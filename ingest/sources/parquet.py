"""Parquet as rows: columns as those of a CSV, with the types they have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from core.errors import BadManifest, CorruptMedia, MissingExtra
from core.fields import NAME, Fields, FieldType
from ingest.sources.row import LINE, SOURCES, Item, Place, item_of

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MAGIC = b"PAR1"
BATCH = 64  # rows that are unpacked at a time


def parquet_count(source: BinaryIO) -> int:
    """How many rows can be read from it, as its groups of rows say. Raises CorruptMedia, MissingExtra."""
    said = _opened(source).metadata
    return sum(max(0, said.row_group(at).num_rows) for at in range(said.num_row_groups))


def parquet_rows(source: BinaryIO, place: Place | None, fields: Fields) -> Iterator[tuple[int, Item | BadManifest]]:
    """What each row gives, or why it gives nothing, with its number from 1; `source` can seek. Null, and NaN, which is
    how pandas writes it, is no value. Raises CorruptMedia, BadManifest when it has none of the columns, MissingExtra.
    """
    file = _opened(source)
    names = list(file.schema_arrow.names)
    if not set(names) & set(SOURCES):
        raise BadManifest(f"one of its columns must be path, text or url; it has {', '.join(names[:10])}")
    for name in names:
        if name not in (*SOURCES, "id") and not NAME.fullmatch(name):
            raise BadManifest(f"column {name!r}: a metadata key is letters, digits and underscores: rename it")
    for number, row in enumerate(_rows(file), start=1):
        try:
            yield number, _item(row, place, fields)
        except BadManifest as exc:
            yield number, exc


def _opened(source: BinaryIO) -> ParquetFile:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as exc:
        raise MissingExtra("Parquet needs pyarrow: pip install 'quiver[parquet]', or write CSV or JSON Lines") from exc
    try:
        source.seek(0)
        return ParquetFile(source, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as exc:
        raise CorruptMedia(f"no Parquet can be read from it ({exc}): write it again") from exc


def _rows(file: ParquetFile) -> Iterator[dict[str, Any]]:
    import pyarrow

    try:
        for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as exc:
        raise CorruptMedia(f"its Parquet is damaged ({exc}): what came before is taken in; write it again") from exc


def _item(row: dict[str, Any], place: Place | None, fields: Fields) -> Item:
    said: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        try:
            said[name] = _plain(value, fields.get(name))
        except ValueError as exc:
            raise BadManifest(f"column {name!r}: {exc}") from exc
    if isinstance(said.get("id"), int):
        said["id"] = str(said["id"])
    metadata = {name: value for name, value in said.items() if name not in (*SOURCES, "id")}
    return item_of({name: value for name, value in said.items() if name not in metadata}, metadata, place)


def _plain(value: Any, kind: FieldType | None) -> Any:
    """A value as JSON knows it. Raises ValueError."""
    match value:
        case None:
            return None
        case str():
            if len(value) > LINE:
                raise ValueError(f"longer than {LINE:,} characters: put the text into a file and name its path")
            value.encode()
            return value
        case bool() | int():
            return value
        case float():
            whole = kind is FieldType.INTEGER and value.is_integer()
            return int(value) if whole else value  # pandas makes floats of whole numbers beside a null
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return int(value) if kind is FieldType.INTEGER and value == int(value) else float(value)
        case list():
            return [_plain(one, kind) for one in value]
        case dict():
            return {str(key): _plain(one, None) for key, one in value.items() if one is not None}
        case _:
            pass
    raise ValueError(f"{type(value).__name__} has no place in metadata: leave it out or write it as a string")
