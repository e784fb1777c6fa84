"""Writes a table of points, a group of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from core.errors import BlobsDown, TooLarge
from core.fields import Fields, FieldType, as_datetime, normal
from core.points import Stored, span_of
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import Asset
from workers.table import FIELD, Heading, arrow, columns, schema_of

if TYPE_CHECKING:
    from pyarrow import Array

ROWS = 2048  # of a group, unless its vectors are larger
BYTES = 32 << 20  # of the vectors of a group


class Listed(Exception):
    """A field holds a list that was not said to: whoever writes begins again and knows better."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Writer:
    """Writes one table. Raises MissingExtra, BlobsDown when it cannot be written, Listed."""

    def __init__(self, sink: BinaryIO, heading: Heading) -> None:
        self._pa = arrow()
        self._heading = heading
        self._schema = schema_of(self._pa, heading)
        self._rows: list[tuple[Asset, Stored]] = []
        self._held = 0
        words = [name for name, kind in columns(self._pa) if kind == self._pa.string() and name != "text"]
        with writing():
            self._file = self._pa.parquet.ParquetWriter(
                sink, self._schema, compression="zstd", use_dictionary=words, store_schema=True
            )

    def write(self, asset: Asset, points: Sequence[Stored]) -> None:
        """The points of one asset."""
        for point in points:
            self._rows.append((asset, point))
            self._held += sum(_size(vector) for vector in point.vectors.values())
            if len(self._rows) >= ROWS or self._held >= BYTES:
                self._flush()

    def close(self) -> None:
        """All that was written can be read on return."""
        self._flush()
        with writing():
            self._file.close()

    def abandon(self) -> None:
        """Write nothing more: the file that was begun is of no use. Otherwise its end would be written at any time."""
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        rows, self._rows, self._held = self._rows, [], 0
        if not rows:
            return
        said = [_said(asset, point) for asset, point in rows]
        arrays = [self._pa.array([one[name] for one in said], kind) for name, kind in columns(self._pa)]
        for name, kind in self._heading.fields.items():
            listed = name in self._heading.listed
            held = [_typed(name, kind, asset.metadata.get(name), listed=listed) for asset, _ in rows]
            arrays.append(self._pa.array(held, self._schema.field(FIELD + name).type))
        for space in self._heading.spaces:
            arrays += _vector_columns(self._pa, space, [point.vectors.get(space.vector_name) for _, point in rows])
        with writing():
            self._file.write_batch(self._pa.RecordBatch.from_arrays(arrays, schema=self._schema))


@contextmanager
def writing() -> Iterator[None]:
    """The seam for what is written."""
    try:
        yield
    except OSError as exc:
        raise BlobsDown(f"it cannot be written ({exc.strerror or exc}): see to the disk, then begin again") from exc


def _size(vector: Vector) -> int:
    return vector.indices.nbytes + vector.values.nbytes if isinstance(vector, Sparse) else vector.nbytes


def _said(asset: Asset, point: Stored) -> dict[str, Any]:
    """The columns before the fields."""
    span = span_of(point.payload)
    of_asset = ("external_id", "tenant", "media_type", "digest", "size", "created_at", "generation")
    of_point = ("ordinal", "source", "content", "language", "text", "blocked")
    return {
        "asset": str(asset.id),
        **{name: getattr(asset, name) for name in of_asset},
        "modality": str(asset.modality),
        "metadata": json.dumps(dict(asset.metadata), ensure_ascii=False),
        **{name: point.payload.get(name) for name in of_point},
        "span_start": span.start if span else None,
        "span_end": span.end if span else None,
        "span_unit": span.unit if span else None,
    }


def _typed(name: str, kind: FieldType, value: Any, *, listed: bool) -> Any:
    """A value for its column; none where it is not of the type, which `metadata` has all the same."""
    if value is None:
        return None
    if isinstance(value, list) and not listed:
        raise Listed(name)
    try:
        held = [_plain(kind, one) for one in (value if isinstance(value, list) else [value])]
    except (ValueError, OverflowError):
        return None
    return held if listed else held[0]


def _plain(kind: FieldType, value: Any) -> Any:
    said = normal(kind, value)
    return as_datetime(said) if kind is FieldType.DATETIME else said


def lists(fields: Fields, metadata: Mapping[str, Any]) -> set[str]:
    """The fields that hold a list."""
    return {name for name in fields if isinstance(metadata.get(name), list)}


def _vector_columns(pa: Any, space: EmbeddingSpace, held: Sequence[Vector | None]) -> list[Array]:
    ends = np.cumsum([0, *(0 if one is None else len(one) for one in held)])
    if ends[-1] > np.iinfo(np.int32).max:
        raise TooLarge(f"{space.name}: more numbers than a group of rows can hold")
    missing = pa.array([one is None for one in held])

    def column(parts: list[Any], of: type) -> Array:
        values: Any = np.concatenate(parts).astype(of, copy=False) if parts else np.zeros(0, of)
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values), mask=missing)

    if not space.sparse:
        return [column([one for one in held if one is not None], np.float32)]
    sparse = [one for one in held if isinstance(one, Sparse)]
    return [column([one.indices for one in sparse], np.uint32), column([one.values for one in sparse], np.float32)]
