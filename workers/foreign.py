"""Points of another Qdrant collection as rows to import: somebody declares which of its vectors is of which space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urldefrag

from core.errors import BadQuery, ModelMismatch
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import Modality
from ingest.sources.points import SCHEMES, Columns, address
from workers.table import Row

NO_BYTES = "application/octet-stream"  # of what nobody gave the bytes of


class Vectored(Protocol):
    """Another collection, read. Raises NoSuchCollection, StoreDown."""

    def __len__(self) -> int:
        """How many points it has."""
        ...

    def dims(self) -> dict[str, int | None]:
        """Its vectors by name, with how many numbers each has; None: sparse."""
        ...

    def vectors(self, names: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Vector]]]:
        """Each point's id, payload and these vectors."""
        ...


def is_foreign(source: str) -> bool:
    """Whether it names a collection on a server: `qdrant://HOST:PORT/COLLECTION` or `http://HOST:PORT#COLLECTION`."""
    return source.partition("://")[0] in SCHEMES or (source.startswith(("http://", "https://")) and "#" in source)


def address_of(source: str) -> tuple[str, str]:
    """The server's URL, and the collection. Raises BadQuery."""
    if source.partition("://")[0] in SCHEMES:
        return address(source)
    url, name = urldefrag(source)
    if not name:
        raise BadQuery(f"{source!r}: write http://HOST:6333#COLLECTION")
    return url.rstrip("/"), name


def mapped(spaces: Sequence[EmbeddingSpace], declared: Mapping[str, str]) -> dict[str, EmbeddingSpace]:
    """`{"their vector": "our space"}` as spaces of a collection. Raises BadQuery."""
    known = {space.name: space for space in spaces}
    if unknown := sorted(set(declared.values()) - set(known)):
        raise BadQuery(f"there is no space {unknown[0]!r}; the collection has {', '.join(sorted(known))}")
    if len(set(declared.values())) < len(declared):
        raise BadQuery("a space takes one vector: map each to another")
    return {theirs: known[ours] for theirs, ours in declared.items()}


def check_dims(spaces: Mapping[str, EmbeddingSpace], dims: Mapping[str, int | None]) -> None:
    """Raises BadQuery for a vector that is not there, ModelMismatch for one that cannot be of its space."""
    for name, space in spaces.items():
        if name not in dims:
            there = ", ".join(sorted(repr(one) for one in dims)) or "none"
            raise BadQuery(f"their points have no vector {name!r}; they have {there}: map one, as --vector NAME=SPACE")
        dim = dims[name]
        if (dim is None) != space.sparse or (dim is not None and dim != space.dim):
            theirs, ours = ("sparse" if one is None else f"of {one} numbers" for one in (dim, _dim(space)))
            raise ModelMismatch(
                f"vector {name!r} is {theirs} and space {space.name!r} ({space.model}) {ours}: it is of another model; "
                "ingest their things instead, as `quiver ingest qdrant://HOST:6333/COLLECTION`"
            )


def _dim(space: EmbeddingSpace) -> int | None:
    return None if space.sparse else space.dim


def rows_of(points: Vectored, names: Sequence[str], columns: Columns, modality: Modality | None) -> Iterator[Row]:
    """Each point as an asset of one segment. What has a text is that text; of other things nobody gives the bytes, so
    that their digest is that of their vectors, and the vectors' change theirs. Raises BadQuery when it cannot be told
    of what the points are."""
    for number, (point, payload, vectors) in enumerate(points.vectors(names), start=1):
        name = str(payload.get(columns.id) or point) if columns.id else point
        text = payload.get(columns.text) if modality in (None, Modality.TEXT) else None
        data = text.encode("utf-8", "replace") if isinstance(text, str) and text else None
        if data is None and modality is None:
            raise BadQuery(
                f"point {point} has no {columns.text!r}: say of what these points are, as --modality image, or name "
                "the field of their text, as --column text=FIELD"
            )
        taken = {columns.id} | ({columns.text} if data is not None else set())
        metadata = {key: value for key, value in payload.items() if key not in taken}
        said = {
            "external_id": name,
            "modality": str(Modality.TEXT if data is not None else modality),
            "media_type": "text/plain" if data is not None else NO_BYTES,
            "digest": hashlib.sha256(data).hexdigest() if data is not None else _digest(name, vectors),
            "size": len(data or b""),
            "ordinal": 0,
            "source": None,
            "content": str(Modality.TEXT if data is not None else modality),
            "span_start": None,
            "span_end": None,
            "span_unit": None,
            "language": None,
            "text": text if data is not None else None,
            "blocked": False,
            "metadata": json.dumps(metadata),
        }
        yield Row(number=number, asset=point, said=said, vectors=vectors, data=data)


def _digest(name: str, vectors: Mapping[str, Vector]) -> str:
    hashed = hashlib.sha256(b"no bytes\0" + name.encode("utf-8", "replace"))
    for key, vector in sorted(vectors.items()):
        hashed.update(b"\0" + key.encode() + b"\0")
        for part in (vector.indices, vector.values) if isinstance(vector, Sparse) else (vector,):
            hashed.update(part.tobytes())
    return hashed.hexdigest()
