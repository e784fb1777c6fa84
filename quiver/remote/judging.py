"""Feedback to a server."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from core.errors import NoSuchQuery
from quiver.judging import Judgement
from quiver.remote.asking import Asking, place_of


class Judging(Asking):
    """What people say of answers."""

    def feedback(self, collection: str, query: UUID | str, asset: str | UUID, grade: int = 1) -> None:
        """As `Quiver.feedback`."""
        try:
            named = UUID(str(query))
        except ValueError:
            raise NoSuchQuery from None
        self._wire.post(
            place_of(collection, "feedback"), {"query": str(named), "asset": str(asset), "grade": grade}
        )  # twice does no harm

    def judgements(self, collection: str) -> Iterator[Judgement]:
        """As `Quiver.judgements`; takes an administrator's key."""
        after: str | None = None
        while True:
            page = self._wire.get(place_of(collection, "feedback"), after=after)
            for one in page["judgements"]:
                yield Judgement(
                    query=UUID(one["query"]), said=one["said"], grades=one["grades"], lost=tuple(one["lost"])
                )
            if not (after := page["after"]):
                return
