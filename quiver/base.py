"""What every part of the facade stands on: the parts, whose assets it sees, and how it finds what is named."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from core.errors import Forbidden, NoSuchAsset
from core.records import Collection
from core.runtime.wiring import Parts
from core.types import Asset, AssetId, Tenant
from workers.collections import find, mark

PATIENCE = 30.0  # seconds to wait for workers that are at what is removed


class Base:
    """A tenant's view of the parts.

    `owner` is the tenant for which collections are made; None: the operator, whose collections are for all tenants.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        tenant: Tenant | None = None,
        owner: Tenant | None = None,
        fetches: bool = True,
        operates: bool = False,
        woken: Callable[[], None] | None = None,
    ) -> None:
        """`fetches`: whether addresses that are named may be fetched. `operates`: whether a tenant may do, in a
        collection that is there for all, what concerns all. `woken` tells the worker that runs in this process that
        there is work, when one does."""
        self._parts = parts
        self._tenant = tenant if tenant is not None else Tenant(parts.settings.tenant)
        self._owner = owner
        self._fetches = fetches
        self._operates = operates or owner is None
        self._woken = woken

    def _collection(self, label: str) -> Collection:
        """Raises NoSuchCollection, naming only those that this tenant sees."""
        return find(self._parts, self._owner, label)

    def _governed(self, label: str, act: str) -> Collection:
        """The same, to do there what concerns all who see it. Raises Forbidden for a tenant that shares it."""
        kept = self._collection(label)
        if not self._operates and not kept.name.endswith(mark(self._owner)):
            raise Forbidden(f"collection {label!r} is there for all tenants: only its operator may {act} it")
        return kept

    def _asset(self, collection: Collection, key: str | UUID) -> Asset:
        """By id, or else by external id, which may be spelt like an id."""
        said = str(key)
        try:
            return self._parts.catalogue.asset(self._tenant, collection.name, AssetId(UUID(said)))
        except (ValueError, NoSuchAsset):
            return self._parts.catalogue.asset(self._tenant, collection.name, said)

    def _ids(self, collection: Collection, keys: tuple[str | UUID, ...]) -> tuple[list[AssetId], list[str]]:
        """Those that are there, and the keys of those that are not."""
        ids: list[AssetId] = []
        unknown: list[str] = []
        for key in keys:
            try:
                ids.append(self._asset(collection, key).id)
            except NoSuchAsset:
                unknown.append(str(key))
        return ids, unknown
