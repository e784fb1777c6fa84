"""A collection over the reference store with toy encoders, and how a test fills it and asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import PIL.Image

from core.fields import FieldType
from core.records import Collection
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId, Tenant, Text
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline, Item
from retrieval.calibration import NO_CURVES, Curves
from retrieval.request import Answer, Query, SearchRequest
from retrieval.search import search
from tests.doubles import toy_parts
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register

ME, OTHER = Tenant("default"), Tenant("other")
FIELDS = {"kind": FieldType.KEYWORD, "price": FieldType.FLOAT, "note": FieldType.TEXT}
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Things = dict[str, str | tuple[int, int, int]]


class World:
    """A collection with what a test puts into it."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.parts: Parts = toy_parts(data, **settings)
        self.store = MemoryStore()
        self.parts.__dict__["store"] = self.store
        self._folder = data / "files"
        self._folder.mkdir(parents=True)
        self._made = ensure(self.parts, "c", FIELDS)
        self.store.create(self.parts.catalogue.serving("c"))

    def add(
        self,
        things: Mapping[str, str | tuple[int, int, int]],
        *,
        tenant: Tenant = ME,
        metadata: Mapping[str, Any] | None = None,
        index: bool = True,
        into: Collection | None = None,
    ) -> None:
        """Texts, and one-coloured pictures, by external id; into "c" unless another collection is given."""

        def submit(collection: str, ids: Sequence[AssetId]) -> None:
            if index:
                index_batch(self.parts, collection, ids)

        taken = register(
            self.parts, tenant, into or self._made, [self._item(n, t, metadata) for n, t in things.items()], submit
        )
        assert not taken.refused

    def _item(self, name: str, thing: str | tuple[int, int, int], metadata: Mapping[str, Any] | None) -> Item:
        if isinstance(thing, str):
            return Inline(name, thing, metadata or {})
        path = self._folder / f"{uuid4().hex}.png"
        PIL.Image.new("RGB", (8, 8), thing).save(path)
        return Found(name, path, metadata or {})

    def ask(
        self,
        query: str | Query,
        *,
        tenant: Tenant = ME,
        collection: str = "c",
        curves: Curves = NO_CURVES,
        **more: Any,
    ) -> Answer:
        said = Text(query) if isinstance(query, str) else query
        request = SearchRequest(tenant=tenant, collection=collection, query=said, **more)
        parts = self.parts
        return search(
            request,
            catalogue=parts.catalogue,
            store=parts.store,
            encoder_of=lambda space: parts.encoders.of_space("toy", space),
            curves_of=lambda _: curves,
        )

    def names(self, query: str | Query, **more: Any) -> list[str]:
        return [hit.external_id for hit in self.ask(query, **more).hits]

    def id_of(self, name: str, tenant: Tenant = ME) -> AssetId:
        return self.parts.catalogue.asset(tenant, "c", name).id
