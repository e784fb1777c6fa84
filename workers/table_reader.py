"""Reads a table of points, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from core.errors import BadManifest, CorruptMedia
from core.spaces import EmbeddingSpace, Sparse, Vector
from workers.table import KEY, Heading, Row, arrow, columns, schema_of, vector_columns

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

READ = 256  # rows that are unpacked at a time


class Reader:
    """Reads one table. Raises CorruptMedia, MissingExtra, and BadManifest when it is no export."""

    def __init__(self, source: BinaryIO) -> None:
        self._pa = arrow()
        with self._reading("it"):
            source.seek(0)
            self._file: ParquetFile = self._pa.parquet.ParquetFile(source, pre_buffer=False)
            said = (self._file.schema_arrow.metadata or {}).get(KEY)
            self.rows = self._file.metadata.num_rows
        if said is None:
            raise BadManifest("it is no export: `quiver ingest` takes in other tables, and embeds what they name")
        self.heading = Heading.from_json(said)
        there = dict(zip(self._file.schema_arrow.names, self._file.schema_arrow.types, strict=True))
        for name, kind in ((f.name, f.type) for f in schema_of(self._pa, self.heading)):
            if there.get(name) != kind:
                raise BadManifest(f"its column {name!r} is {there.get(name, 'missing')}, not {kind}: export it again")

    def __iter__(self) -> Iterator[Row]:
        """Every row, in order. Raises CorruptMedia where the file is damaged."""
        names = [name for name, _ in columns(self._pa)]
        vectors = [name for space in self.heading.spaces for name in vector_columns(space)]
        number = 0
        with self._reading("what follows row", lambda: number):
            for batch in self._file.iter_batches(batch_size=READ, columns=[*names, *vectors], use_threads=False):
                said = batch.select(names).to_pylist()
                held = {space.vector_name: self._vectors(batch, space) for space in self.heading.spaces}
                for at, row in enumerate(said):
                    number += 1
                    its = {name: vector for name, rows in held.items() if (vector := rows[at]) is not None}
                    yield Row(number=number, asset=str(row["asset"]), said=row, vectors=its)

    def _vectors(self, batch: RecordBatch, space: EmbeddingSpace) -> list[Vector | None]:
        if not space.sparse:
            return list(_lists(batch, space.vector_name, np.float32))
        at_name, of_name = vector_columns(space)
        pairs = zip(_lists(batch, at_name, np.uint32), _lists(batch, of_name, np.float32), strict=True)
        return [None if at is None or of is None else Sparse(at, of) for at, of in pairs]

    @contextmanager
    def _reading(self, what: str, number: Callable[[], int] | None = None) -> Iterator[None]:
        try:
            yield
        except (self._pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as exc:
            where = what if number is None else f"{what} {number()}"
            raise CorruptMedia(f"{where} cannot be read as Parquet ({exc}): export it again") from exc


def _lists(batch: RecordBatch, name: str, of: type) -> Iterator[Any]:
    """The lists of a column, or None, without a Python number for each of theirs."""
    column = batch.column(name)
    ends = column.offsets.to_numpy()
    if column.values.null_count:
        raise ValueError(f"{name} holds a vector with a null in it")
    values = column.values.to_numpy(zero_copy_only=False).astype(of, copy=False)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    for at in range(len(column)):
        yield None if missing[at] else values[ends[at] : ends[at + 1]].copy()
