"""Upkeep: failures, reconciling, sweeping, migrating."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.records import Collection, Failure
from core.types import AssetId
from quiver.base import PATIENCE, Base
from workers.jobs import run_jobs
from workers.lanes import Lanes
from workers.reconcile import Drift, reconcile
from workers.removal import remove
from workers.tally import Tally


class Upkeep(Base):
    """What an operator does."""

    def failures(
        self, collection: str, *, kind: str | None = None, older_than: timedelta | None = None, limit: int = 1000
    ) -> list[Failure]:
        """What could not be indexed, and why, newest first; of one class, or last tried so long ago."""
        return self._failed(self._collection(collection), kind, older_than, limit)

    def _failed(
        self, collection: Collection, kind: str | None, older_than: timedelta | None, limit: int = 1_000_000
    ) -> list[Failure]:
        before = None if older_than is None else datetime.now(UTC) - older_than
        return self._parts.catalogue.failures(self._tenant, collection.name, kind=kind, before=before, limit=limit)

    def retry(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """Try failed assets again: those named, or all of a class and age; how many. Indexes them unless workers do."""
        kept = self._collection(collection)
        struck = self._parts.catalogue.forgive(self._tenant, kept.name, self._chosen(kept, keys, kind, older_than))
        self._attend(kept.name)
        return struck

    def discard(
        self, collection: str, *keys: str | UUID, kind: str | None = None, older_than: timedelta | None = None
    ) -> int:
        """Give failed assets up: remove those named, or all of a class and age; how many."""
        kept = self._collection(collection)
        ids = self._chosen(kept, keys, kind, older_than)
        return remove(self._parts, self._tenant, kept.name, ids, patience=PATIENCE)

    def _chosen(
        self, collection: Collection, keys: Sequence[str | UUID], kind: str | None, older_than: timedelta | None
    ) -> list[AssetId]:
        named = {self._asset(collection, key).id for key in keys}
        found = self._failed(collection, kind, older_than)
        return [one.asset_id for one in found if not named or one.asset_id in named]

    def stats(self, collection: str) -> dict[str, float]:
        """Seconds an asset took in each stage of indexing (fetch, decode, resize, load, encode, upsert, commit and
        others: docs/operations.md), on average since the collection was made: what bounds the rate is the largest. Of
        one lane; as many run as are set."""
        return self._parts.catalogue.spent(self._collection(collection).name)

    def reconcile(
        self, collection: str, *, repair: bool = False, on_progress: Callable[[Drift], None] | None = None
    ) -> Drift:
        """Compare the catalogue with the index, both ways; with `repair`, make the index agree and index what lacks.

        The operator compares the assets of all tenants, a tenant its own.
        """
        kept = self._collection(collection)
        whose = None if self._owner is None else self._tenant
        drift = reconcile(self._parts, kept.name, repair=repair, tenant=whose, on_progress=on_progress)
        if repair:
            self._attend(kept.name)
        return drift

    def sweep(self) -> Tally:
        """Take in and index, here and now, what a crash, an outage or a lost message left behind.

        A collection whose model is wrong is logged and left as it is."""
        return self._sweep(None)

    def _sweep(self, collection: str | None) -> Tally:
        with Lanes(self._parts, collection=collection) as lanes:
            run_jobs(self._parts, lanes.submit)
            lanes.drain()
        return lanes.tally

    def attend(self) -> None:
        """Have what was left behind looked for soon, by workers where they run, and otherwise here and now."""
        if self._parts.settings.broker_url is not None:
            from workers.tasks import enqueue_sweep

            enqueue_sweep(self._parts)
        else:
            self._attend()

    def _attend(self, collection: str | None = None) -> None:
        """`collection`: whose model, when it is wrong, is raised."""
        if self._woken is not None:
            self._woken()
        elif self._parts.settings.broker_url is None:
            self._sweep(collection)

    def migrate(self) -> None:
        """Bring the catalogue's tables to the newest migration. Opening does it too."""
        self._parts.catalogue.collections()
