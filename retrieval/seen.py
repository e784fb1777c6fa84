"""What somebody has seen already, up to a million things, and the things that are left when most have been seen.

An engine that is asked for "none of these million" times out; so what was seen is dropped here, and more is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from core.errors import BadQuery
from core.ports import Catalogue
from core.records import Index
from core.types import AssetId, Tenant

MOST_SEEN = 1_000_000
PAGE = 10_000  # receipts that are read at once
CHUNK = 2_000  # assets that the store is asked about at once


def seen_keys(said: Iterable[str | UUID]) -> frozenset[str]:
    """Ids and external ids as a set; ids in the spelling of payloads, too. Raises BadQuery for more than a million."""
    out: set[str] = set()
    spelt: set[str] = set()
    for key in said:
        if not isinstance(key, (str, UUID)):
            raise BadQuery(f"seen: {type(key).__name__} is no id: give ids or external ids")
        text = str(key)
        out.add(text)
        if len(out) > MOST_SEEN:
            raise BadQuery(f"more than {MOST_SEEN:,} seen: give the latest of them")
        if len(text) in (32, 36):  # an id, or an external id that looks like one
            try:
                spelt.add(str(UUID(text)))
            except ValueError:
                continue
    return frozenset(out | spelt)


def is_in(keys: AbstractSet[str], said: Mapping[str, Any]) -> bool:
    """Whether a point's payload is of one of these."""
    return said["asset"] in keys or said["external_id"] in keys


def left(
    catalogue: Catalogue, index: Index, tenant: Tenant, collection: str, keys: AbstractSet[str]
) -> Iterator[frozenset[AssetId]]:
    """The indexed assets of the tenant that are none of these, some at a time, by id. Raises CatalogueDown.

    Reads every receipt of the tenant: for the few whose nearest tens of thousands have all been seen.
    """
    found = catalogue.find(tenant, collection, sorted(keys))
    gone = set(found.values())
    chunk: list[AssetId] = []
    after: AssetId | None = None
    while page := catalogue.signed(index, after=after, limit=PAGE, tenant=tenant):
        after = page[-1][0]
        chunk += [asset for asset, _, _ in page if asset not in gone]
        while len(chunk) >= CHUNK:
            yield frozenset(chunk[:CHUNK])
            chunk = chunk[CHUNK:]
    if chunk:
        yield frozenset(chunk)
