"""How the catalogue shares out work: leases, receipts and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from core.records import Claim, Failure, Index
from core.types import AssetId, Tenant


class Leases(Protocol):
    """The catalogue's side of it. Fault: CatalogueDown; each racing change is one conditional statement."""

    def claim(
        self,
        collection: str,
        *,
        worker: str,
        lease: timedelta,
        limit: int,
        ids: Sequence[AssetId] | None = None,
        index: str | None = None,
    ) -> list[Claim]:
        """Lease assets that the serving index lacks, or one that soaks, and that are not leased, failed for good or
        waiting to be retried; oldest first. Counts the attempt. Two workers never hold the same asset.

        With `index`, one that is building or verifying: what it lacks and the serving one does not wait for. Such a
        lease keeps nobody from writing the asset to where it is to be found now."""
        ...

    def sign(self, index: Index, written: Mapping[Claim, int]) -> dict[AssetId, int | None]:
        """Write receipts for claims whose lease and generation still hold, with how many points each has. Of the
        others: what `VectorStore.forget` is to be told (None: all, the asset is gone)."""
        ...

    def sign_all(self, written: Sequence[tuple[Index, Mapping[Claim, int]]]) -> list[dict[AssetId, int | None]]:
        """`sign` for several indexes in one transaction: at no moment has one of them what another lacks."""
        ...

    def finish(self, claims: Sequence[Claim]) -> None:
        """The work is done: end the leases. A lease that is another's by now is left alone."""
        ...

    def renew(self, claims: Sequence[Claim], lease: timedelta) -> int:
        """The work goes on: the leases run anew from now; of how many. One that is another's by now, or of a generation
        that is no more, is left alone."""
        ...

    def release(self, claims: Sequence[Claim]) -> None:
        """Hand work back undone: end the leases and take back the attempts that were counted."""
        ...

    def holders(self) -> list[str]:
        """The workers that hold leases."""
        ...

    def expire(self, worker: str) -> int:
        """End the leases of a worker that is known to be dead: their attempts stay counted; how many."""
        ...

    def fail(
        self, claim: Claim, *, kind: str, message: str, retry_in: timedelta | None, index: Index | None = None
    ) -> None:
        """Record the failure, if the lease and generation still hold, and release: of the index that it was claimed
        for, or of all that lack it. Of one `index` alone: then the lease goes on."""
        ...

    def failures(
        self,
        tenant: Tenant,
        collection: str,
        *,
        kind: str | None = None,
        before: datetime | None = None,
        limit: int = 100,
        asset: AssetId | None = None,
        index: str | None = None,
    ) -> list[Failure]:
        """Those of present generations, newest first; of one kind, of one asset, or last tried before a moment. Of the
        serving index unless another is named."""
        ...

    def forgive(self, tenant: Tenant, collection: str, ids: Sequence[AssetId] | None = None) -> int:
        """Strike out failures, so that the assets are claimed again; how many."""
        ...

    def quarantine(self) -> list[AssetId]:
        """Record as failed every asset whose workers fell silent as many times as attempts are allowed."""
        ...

    def missing(
        self,
        collection: str,
        *,
        limit: int,
        quiet: timedelta = timedelta(0),
        within: timedelta | None = None,
        index: str | None = None,
    ) -> list[AssetId]:
        """What could be claimed now, for that index or for those that serve or soak, oldest first: unchanged for at
        least `quiet`, or held before by somebody who fell silent or handed it back; changed `within` so long ago."""
        ...

    def oldest_waiting(self, collection: str) -> timedelta:
        """How long the oldest asset has waited to be indexed; zero when none waits."""
        ...
