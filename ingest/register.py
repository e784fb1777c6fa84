"""An item to a draft: sniffed, inside the limits, its bytes in the blob store."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

from core.errors import BadMetadata, Forbidden, Refused
from core.fields import Fields, normal_metadata
from core.ports import Blobs
from core.records import Draft
from core.types import Metadata, Modality
from ingest.decode.text import decode_text
from ingest.files import opened, reading
from ingest.limits import Limits
from ingest.sniff import Sniffed, sniff
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline, Item
from ingest.sources.sidecar import with_sidecars
from ingest.sources.stored import Stored
from ingest.sources.upload import Upload, upload_id
from ingest.sources.url import Remote

Fetcher = Callable[[str], AbstractContextManager[BinaryIO]]  # ForbiddenAddress, RemoteFailed, TooLarge, BlobsDown


def draft(item: Item, *, blobs: Blobs, fields: Fields, limits: Limits, fetcher: Fetcher | None = None) -> Draft:
    """A draft, its blob durable. Without a `fetcher` an address is Forbidden.

    Raises Refused, naming the item, and then nothing was stored; BlobsDown.
    """
    match item:
        case Found():
            with _named(item.external_id), opened(item.path) as source:
                return draft_stream(
                    source,
                    external_id=item.external_id,
                    name=item.path.name,
                    metadata=with_sidecars(item.metadata, item.sidecars, limits),
                    blobs=blobs,
                    fields=fields,
                    limits=limits,
                )
        case Stored():
            with _named(item.external_id), item.open() as source:
                return draft_stream(
                    source,
                    external_id=item.external_id,
                    name=item.name,
                    metadata=with_sidecars(item.metadata, item.sidecars, limits),
                    blobs=blobs,
                    fields=fields,
                    limits=limits,
                )
        case Upload():
            with _named(item.external_id or item.name or "what was sent"):
                made = draft_stream(
                    item.source,
                    external_id=item.external_id,
                    name=item.name,
                    metadata=item.metadata,
                    blobs=blobs,
                    fields=fields,
                    limits=limits,
                )
                return made if made.external_id else replace(made, external_id=upload_id(made.digest))
        case Remote():
            with _named(item.external_id):
                if fetcher is None:
                    raise Forbidden(
                        "addresses are not fetched here: send the bytes, or, as the operator, name the tenant in "
                        "QUIVER_FETCH_TENANTS"
                    )
                metadata_of(item.metadata, fields=fields, limits=limits)  # refused before anybody is asked
                with fetcher(item.url) as source:
                    return draft_stream(
                        source,
                        external_id=item.external_id,
                        name=item.name,
                        metadata=item.metadata,
                        blobs=blobs,
                        fields=fields,
                        limits=limits,
                        quoting=False,
                    )
        case Inline():
            with _named(item.external_id):
                kept = metadata_of(item.metadata, fields=fields, limits=limits)
                data = item.text.encode()
                decode_text(data, limits=limits)
                return _put(item.external_id, io.BytesIO(data), Sniffed(Modality.TEXT, "text/plain"), kept, blobs)


def draft_stream(
    source: BinaryIO,
    *,
    external_id: str,
    name: str,
    metadata: Metadata,
    blobs: Blobs,
    fields: Fields,
    limits: Limits,
    quoting: bool = True,
) -> Draft:
    """The same for bytes that come by another way, an upload for instance; `source` can seek, `name` is a hint.

    `quoting`: whether a fault may show how a text begins.
    """
    kept = metadata_of(metadata, fields=fields, limits=limits)
    with reading():
        sniffed = sniff(source, name=name, limits=limits, quoting=quoting)
        source.seek(0)
    return _put(external_id, source, sniffed, kept, blobs)


def metadata_of(metadata: Metadata, *, fields: Fields, limits: Limits) -> dict[str, Any]:
    """Metadata in its stored form. Raises BadMetadata, TooLarge."""
    if not all(isinstance(key, str) for key in metadata):
        raise BadMetadata("metadata keys must be strings")
    try:
        kept = normal_metadata(fields, metadata)
        size = len(json.dumps(kept, ensure_ascii=False).encode())
    except RecursionError as exc:
        raise BadMetadata("metadata is nested too deeply: flatten it") from exc
    except UnicodeEncodeError as exc:
        raise BadMetadata("half of a surrogate pair (\\ud800 to \\udfff) is no character") from exc
    limits.check("metadata_bytes", size)
    return kept


def _put(external_id: str, source: BinaryIO, sniffed: Sniffed, metadata: Metadata, blobs: Blobs) -> Draft:
    digest, size = blobs.put(source)
    return Draft(
        external_id=external_id,
        modality=sniffed.modality,
        media_type=sniffed.media_type,
        digest=digest,
        size=size,
        metadata=metadata,
    )


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Refused as exc:
        raise type(exc)(f"{name}: {exc}") from exc
