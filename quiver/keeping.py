"""What is kept: collections, assets, their bytes and small pictures, and taking them out."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from core.errors import NoSpaceFor
from core.ports import Catalogue
from core.records import IndexState
from core.spaces import EmbeddingSpace
from core.types import Modality
from ingest.decode.thumbnail import THUMBNAIL, thumbnail
from quiver.base import PATIENCE, Base
from quiver.reports import AssetState, AssetView, CollectionStatus, Removed
from workers.collections import label_of, visible
from workers.decoding import picture
from workers.removal import remove


def _spaces(catalogue: Catalogue, collection: str) -> tuple[EmbeddingSpace, ...]:
    """Those that are asked; none while a collection is being made."""
    return next((i.spaces for i in catalogue.indexes(collection) if i.state is IndexState.SERVING), ())


class Keeping(Base):
    """What there is."""

    def status(self, collection: str | None = None) -> list[CollectionStatus]:
        """One collection, or all that this tenant sees."""
        catalogue = self._parts.catalogue
        chosen = [self._collection(collection)] if collection is not None else visible(self._parts, self._owner)
        return [
            CollectionStatus(
                name=each.name if self._owner is None else label_of(each.name),
                profile=each.profile,
                fields=each.fields,
                reads=each.reads,
                encoders={space.name: space.model for space in _spaces(catalogue, each.name)},
                counts=catalogue.counts(self._tenant, each.name),
            )
            for each in chosen
        ]

    def assets(self, collection: str, *, after: str | None = None, limit: int = 100) -> list[AssetState]:
        """A page of assets with their states, by external id, from the one behind `after`."""
        kept = self._collection(collection)
        page = self._parts.catalogue.assets(self._tenant, kept.name, after=after, limit=limit)
        return [AssetState(asset=asset, state=state) for asset, state in page]

    def show(self, collection: str, key: str | UUID) -> AssetView:
        """One asset by id or external id. Raises NoSuchAsset."""
        kept = self._collection(collection)
        asset = self._asset(kept, key)
        failed = self._parts.catalogue.failures(self._tenant, kept.name, asset=asset.id)
        return AssetView(
            asset=asset,
            state=self._parts.catalogue.state(asset),
            failure=failed[0] if failed else None,
            path=self._parts.blobs.path(asset.digest),
        )

    def content(self, collection: str, key: str | UUID) -> bytes:
        """The original bytes of an asset."""
        asset = self._asset(self._collection(collection), key)
        with self._parts.blobs.open(asset.digest) as source:
            return source.read()

    def place(self, collection: str, key: str | UUID) -> tuple[AssetState, Path | None]:
        """An asset, and where its bytes lie when that is a local file."""
        asset = self._asset(self._collection(collection), key)
        return AssetState(asset=asset, state=self._parts.catalogue.state(asset)), self._parts.blobs.path(asset.digest)

    def thumbnail(self, collection: str, key: str | UUID) -> bytes:
        """A JPEG of at most 240 pixels on its longer side, of a picture or a film. Raises NoSpaceFor for others."""
        asset = self._asset(self._collection(collection), key)
        if asset.modality not in {Modality.IMAGE, Modality.VIDEO}:
            raise NoSpaceFor(f"{asset.external_id!r} is {asset.modality}: only pictures and films have thumbnails")
        with self._parts.blobs.open(asset.digest) as source:
            return thumbnail(picture(self._parts, source, media_type=asset.media_type, side=THUMBNAIL))

    def remove(self, collection: str, *keys: str | UUID) -> Removed:
        """Remove assets by id or external id: found no more on return. Unknown ones are named.

        Waits for workers that are at them. Raises Unavailable when one takes longer than half a minute.
        """
        kept = self._collection(collection)
        ids, unknown = self._ids(kept, keys)
        removed = remove(self._parts, self._tenant, kept.name, ids, patience=PATIENCE)
        return Removed(removed=removed, unknown=tuple(unknown))
