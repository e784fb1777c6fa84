"""What a table of points is: one row a segment, one column a declared field and space, in Parquet.

The file's metadata says under `quiver`, as JSON, of which collection it is. `workers.table_writer` writes, and
`workers.table_reader` reads, with bounded memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import BadManifest, MissingExtra
from core.fields import Fields, FieldType
from core.spaces import EmbeddingSpace, Vector
from core.types import Reading

if TYPE_CHECKING:
    from pyarrow import DataType, Schema

KEY = b"quiver"
VERSION = 1
FIELD = "field_"  # before the name of a declared field


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Of what collection a table is. `listed`: fields of which an asset may hold several values."""

    collection: str
    fields: Fields
    profile: str
    reads: frozenset[Reading]
    spaces: tuple[EmbeddingSpace, ...]
    listed: frozenset[str] = frozenset()

    def to_json(self) -> str:
        """What the file says of itself."""
        said = {
            "version": VERSION,
            "collection": self.collection,
            "fields": {name: str(kind) for name, kind in self.fields.items()},
            "profile": self.profile,
            "reads": sorted(self.reads),
            "spaces": [{**space.as_dict(), "column": space.vector_name} for space in self.spaces],
            "listed": sorted(self.listed),
        }
        return json.dumps(said, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: bytes | str) -> Heading:
        """The inverse. Raises BadManifest."""
        try:
            said = json.loads(text)
            if said["version"] != VERSION:
                raise BadManifest(f"it is an export of version {said['version']}, and {VERSION} is read: upgrade")
            spaces = [{k: v for k, v in one.items() if k != "column"} for one in said["spaces"]]
            return cls(
                collection=said["collection"],
                fields={name: FieldType(kind) for name, kind in said["fields"].items()},
                profile=said["profile"],
                reads=frozenset(map(Reading, said["reads"])),
                spaces=tuple(map(EmbeddingSpace.from_dict, spaces)),
                listed=frozenset(said["listed"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise BadManifest(f"what the export says of itself cannot be read ({exc}): export it again") from exc


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A segment with its vectors, as somebody gives it. `asset`: rows with the same belong together."""

    number: int  # from 1
    asset: str
    said: Mapping[str, Any]  # the columns before the fields
    vectors: Mapping[str, Vector] = field(default_factory=dict)  # by the name they have there
    data: bytes | None = None  # the asset's own, where a row can hold them

    @property
    def name(self) -> str:
        """What to call it in a message."""
        ordinal, source = self.said.get("ordinal"), self.said.get("source")
        which = f", segment {ordinal}" if ordinal else ""
        return f"{self.said.get('external_id') or '?'}{which}{f' ({source})' if source else ''}"


def arrow() -> Any:
    """pyarrow, where it is installed. Raises MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise MissingExtra("Parquet needs pyarrow: pip install 'quiver[parquet]'") from exc
    return pyarrow


def columns(pa: Any) -> list[tuple[str, DataType]]:
    """Those that every table has, before the fields: of the asset, then of the segment."""
    text = pa.string()
    return [
        *((name, text) for name in ("asset", "external_id", "tenant", "modality", "media_type", "digest")),
        ("size", pa.int64()),
        ("created_at", pa.timestamp("us", "UTC")),
        ("generation", pa.int64()),
        ("ordinal", pa.int64()),
        *((name, text) for name in ("source", "content")),
        ("span_start", pa.float64()),
        ("span_end", pa.float64()),
        *((name, text) for name in ("span_unit", "language", "text")),
        ("blocked", pa.bool_()),
        ("metadata", text),
    ]


def _field_type(pa: Any, kind: FieldType) -> DataType:
    match kind:
        case FieldType.KEYWORD | FieldType.TEXT:
            return pa.string()
        case FieldType.INTEGER:
            return pa.int64()
        case FieldType.FLOAT:
            return pa.float64()
        case FieldType.BOOL:
            return pa.bool_()
        case FieldType.DATETIME:
            return pa.timestamp("us", "UTC")
        case FieldType.GEO:
            return pa.struct([("lat", pa.float64()), ("lon", pa.float64())])


def schema_of(pa: Any, heading: Heading) -> Schema:
    """All columns, and what the table says of itself."""
    said = [pa.field(name, kind) for name, kind in columns(pa)]
    for name, kind in heading.fields.items():
        of = _field_type(pa, kind)
        said.append(pa.field(FIELD + name, pa.list_(of) if name in heading.listed else of))
    for space in heading.spaces:
        of = (pa.uint32(), pa.float32()) if space.sparse else (pa.float32(),)
        said += [pa.field(name, pa.list_(one)) for name, one in zip(vector_columns(space), of, strict=True)]
    return pa.schema(said, metadata={KEY: heading.to_json().encode()})


def vector_columns(space: EmbeddingSpace) -> tuple[str, ...]:
    """Where its vectors are: numbers, or indices and values."""
    name = space.vector_name
    return (f"{name}_indices", f"{name}_values") if space.sparse else (name,)
