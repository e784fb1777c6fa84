"""Erasing on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from core.erasing import Erasure
from core.errors import BadQuery
from core.filters import Filter
from quiver.erasing import ChainReport, Erased
from quiver.remote.asking import Asking


class RemoteErasing(Asking):
    """What is to be gone, and proof that it is."""

    def erase(
        self,
        collection: str | None,
        *keys: str | UUID,
        where: str | Filter | None = None,
        everything: bool = False,
        reason: str = "",
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Erased:
        """As `Quiver.erase`; `where` is an expression, and who asks is the key."""
        if where is not None and not isinstance(where, str):
            raise BadQuery("over HTTP a filter is written as an expression: price < 20 and kind = photo")
        body: dict[str, Any] = {
            "collection": collection,
            "assets": [str(key) for key in keys],
            "where": where,
            "everything": everything,
            "reason": reason,
            "dry_run": dry_run,
        }
        said = self._wire.post("/v1/admin/erase", {name: value for name, value in body.items() if value is not None})
        if on_progress is not None:
            on_progress(said["assets"], said["assets"])
        return Erased(
            assets=said["assets"],
            unknown=tuple(said["unknown"]),
            dry_run=said["dry_run"],
            points=said["points"],
            receipts=tuple(map(Erasure.from_dict, said["receipts"])),
        )

    def erasures(self, *, after: int = 0, limit: int = 1000) -> list[Erasure]:
        """As `Quiver.erasures`."""
        return [Erasure.from_dict(each) for each in self._wire.get("/v1/admin/erasures", after=after, limit=limit)]

    def erasure(self, number: int) -> Erasure:
        """As `Quiver.erasure`."""
        return Erasure.from_dict(self._wire.get(f"/v1/admin/erasures/{number}"))

    def verify_erasures(self, kept: Sequence[Erasure] = ()) -> ChainReport:
        """As `Quiver.verify_erasures`."""
        said = self._wire.post("/v1/admin/erasures/verify", {"receipts": [each.as_dict() for each in kept]})
        return ChainReport(receipts=said["receipts"], hash=said["hash"], wrong=said["wrong"], open=said["open"])
