"""Export: a tenant's points of a collection with their vectors as a Parquet table, and their bytes where asked for.

Only what a receipt stands for is written: what changes meanwhile is in it as it was or as it is, never half of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from core.errors import BlobsDown
from core.filters import Filter, matches
from core.records import Collection, Index
from core.runtime.wiring import Parts
from core.types import Asset, Tenant
from workers.carried import Carrier
from workers.collections import label_of
from workers.serving import made
from workers.standing import signed, standing
from workers.table import Heading
from workers.table_writer import Listed, Writer, lists, writing


@dataclass(slots=True)
class Exported:
    """What an export wrote, or has written so far."""

    points: int = 0
    assets: int = 0
    total: int = 0  # points there were to write when it began
    changing: int = 0  # assets left out, for their points were just being changed
    blobs: int = 0
    missing: int = 0  # blobs that are not there: what was imported without its bytes


Tell = Callable[[Exported], None]


@contextmanager
def writing_to(target: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """What is open already; or a file that has its name only when the block ends in order: until then whatever is there
    stays. Raises BlobsDown."""
    if not isinstance(target, (str, Path)):
        yield target
        return
    place = Path(target)
    draft = place.with_name(f".{place.name}.part")
    with writing():
        sink = draft.open("w+b")
    try:
        with sink:
            yield sink
            with writing():
                sink.flush()
                os.fsync(sink.fileno())
        with writing():
            draft.replace(place)
    except BaseException:
        with suppress(OSError):  # what went wrong is told, not what could not be tidied up after it
            draft.unlink()
        raise


def export(
    parts: Parts,
    collection: Collection,
    tenant: Tenant,
    sink: BinaryIO,
    *,
    where: Filter | None = None,
    blobs: Path | None = None,
    on_progress: Tell | None = None,
) -> Exported:
    """Write an open file that can be cut and sought in. `blobs`: a folder, or a tar by its name, to which the bytes go.
    Raises MissingExtra, BlobsDown, StoreDown, NoSuchCollection, CatalogueDown."""
    index = parts.catalogue.serving(collection.name)
    made(parts, index)  # there is none before the first asset is indexed
    heading = Heading(
        collection=label_of(collection.name),
        fields=index.fields,
        profile=collection.profile,
        reads=index.reads,
        spaces=index.spaces,
    )

    def wanted(asset: Asset) -> bool:
        return matches(where, asset.metadata)

    total = 0
    for page in signed(parts.catalogue, index, tenant=tenant, wanted=wanted):
        for one in page:
            total += one.points
            heading = replace(heading, listed=heading.listed | lists(heading.fields, one.asset.metadata))
    while True:
        try:
            with Carrier(parts.blobs, blobs) as carrier:
                return _write(parts, index, tenant, sink, heading, wanted, carrier, total, on_progress)
        except Listed as found:  # an asset that came meanwhile has the first list of that field
            heading = replace(heading, listed=heading.listed | {found.field})
            with writing():
                sink.seek(0)
                sink.truncate()


def _write(
    parts: Parts,
    index: Index,
    tenant: Tenant,
    sink: BinaryIO,
    heading: Heading,
    wanted: Callable[[Asset], bool],
    carrier: Carrier,
    total: int,
    on_progress: Tell | None,
) -> Exported:
    done = Exported(total=total)

    def left_out(_: Asset) -> None:
        done.changing += 1

    writer = Writer(sink, heading)
    found = standing(parts.catalogue, parts.store, index, tenant=tenant, wanted=wanted, on_missing=left_out)
    try:
        for asset, points in found:
            writer.write(asset, points)
            carrier.carry(asset.digest, asset.size)
            done.assets += 1
            done.points += len(points)
            done.blobs, done.missing = carrier.carried, carrier.missing
            if on_progress is not None:
                on_progress(done)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return done


def check_target(target: Path) -> None:
    """Raises BlobsDown when no file can be written there: said before any work is done."""
    if target.is_dir():
        raise BlobsDown(f"{target} is a folder: name a file, as {target / 'export.parquet'}")
    if not target.absolute().parent.is_dir():
        raise BlobsDown(f"there is no folder {target.absolute().parent}: make it first")
