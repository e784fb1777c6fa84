"""A catalogue of either database with one collection, and what tests put into it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.catalogue.tables import metadata
from core.fields import FieldType
from core.records import Draft, Index, IndexState
from core.spaces import EmbeddingSpace, Metric
from core.types import AssetId, Digest, Modality, Tenant

ME, OTHER = Tenant("me"), Tenant("other")
LEASE = timedelta(minutes=5)
SPACE = EmbeddingSpace(
    name="s", model="m", revision="1", dim=4, metric=Metric.COSINE, modalities=frozenset({Modality.TEXT}), recipe=""
)


def index_named(name: str, state: IndexState) -> Index:
    return Index(id=name, collection="c", state=state, spaces=(SPACE,), fields={"kind": FieldType.KEYWORD})


def draft(external_id: str = "a", content: str = "x", **metadata: Any) -> Draft:
    return Draft(
        external_id=external_id,
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest(content * 64),
        size=len(content),
        metadata=metadata,
    )


def add(catalogue: SqlCatalogue, *drafts: Draft, tenant: Tenant = ME) -> list[AssetId]:
    return [asset_id for asset_id, _ in catalogue.register(tenant, "c", drafts or [draft()])]


def index_all(catalogue: SqlCatalogue, *, lease: timedelta = LEASE) -> int:
    claims = catalogue.claim("c", worker="w", lease=lease, limit=100)
    for index in catalogue.indexes("c"):
        assert catalogue.sign(index, dict.fromkeys(claims, 1)) == {}
    catalogue.finish(claims)
    return len(claims)


def empty(catalogue: SqlCatalogue) -> None:
    """All rows out of it: tests share one database."""
    with catalogue.engine.begin() as conn:
        for table in reversed(metadata.sorted_tables):
            conn.execute(table.delete())


def emptied(url: str) -> None:
    """A database that tests share, with nothing in it."""
    made = open_catalogue(url)
    empty(made)
    made.close()
