"""Erasing for good: what is asked for, the receipts, and whether their chain holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.erasing import Erasure, broken, hash_of
from core.errors import BadQuery, CatalogueBroken, NoSuchErasure
from core.filters import Filter
from core.records import Collection
from core.types import AssetId
from quiver.base import PATIENCE, Base
from retrieval.expression import parse
from workers.collections import visible
from workers.erase import Asked, erase, matching, replay
from workers.erasure_book import book_of
from workers.erasure_points import indexes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did, or with `dry_run` would do."""

    assets: int
    unknown: tuple[str, ...]  # keys of no asset; what names them goes all the same
    dry_run: bool
    points: int  # in every index
    receipts: tuple[Erasure, ...]

    @property
    def nothing(self) -> bool:
        """Nothing was there: no asset, and nothing that named one. A dry run looks for assets alone."""
        return not self.assets and not any(any(each.receipt["traces"].values()) for each in self.receipts)

    @property
    def verified(self) -> bool:
        """Whether it was looked for in every way, and not found."""
        return all(each.receipt["verified"] for each in self.receipts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """Whether the receipts are what they were when they were written."""

    receipts: int  # of all tenants: the chain is one
    hash: str  # of the last: whoever keeps it can tell later whether any are missing
    wrong: str | None  # what is, first
    open: int  # erasures that have begun and have no receipt yet

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return self.wrong is None


class Erasing(Base):
    """What is to be gone, and proof that it is."""

    def erase(
        self,
        collection: str | None,
        *keys: str | UUID,
        where: str | Filter | None = None,
        everything: bool = False,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Erased:
        """Erase assets by id or external id, those that a filter matches, or, with `everything`, all of this tenant's,
        in every collection when none is named: points of every index, bytes that nobody else has, and what names them.

        `reason` and `by` are kept in the receipts for good. `on_progress` is told how many are done, of how many. Waits
        for workers that are at them. Raises Unavailable when one takes longer than half a minute, or a part is down:
        what has begun is then finished by the next sweep. BadQuery when nothing is chosen.
        """
        chosen = self._chosen_collections(collection, keys, where, everything)
        orders = [(kept, *self._matched(kept, keys, where)) for kept in chosen]
        points = sum(self._points(kept, ids) for kept, ids, _ in orders) if dry_run else 0
        total = sum(len(ids) for _, ids, _ in orders)
        done = 0
        receipts: list[Erasure] = []
        how = "everything" if everything else "where" if where is not None else "asset"
        asked = Asked(by=by or ("operator" if self._owner is None else "tenant"), reason=reason, how=how)

        def tell(now: int, _: int) -> None:
            if on_progress is not None:
                on_progress(done + now, total)

        for kept, ids, unknown in () if dry_run else orders:
            receipts += erase(
                self._parts,
                self._tenant,
                kept.name,
                ids=ids,
                names=unknown,
                whole=everything,
                asked=asked,
                patience=PATIENCE,
                on_progress=tell,
            )
            done += len(ids)
        return Erased(
            assets=total,
            unknown=tuple(dict.fromkeys(name for _, _, unknown in orders for name in unknown)),
            dry_run=dry_run,
            points=points or sum(index["points"] for each in receipts for index in each.receipt["indexes"]),
            receipts=tuple(receipts),
        )

    def _chosen_collections(
        self, collection: str | None, keys: Sequence[str | UUID], where: str | Filter | None, everything: bool
    ) -> list[Collection]:
        if bool(keys) + (where is not None) + everything != 1:
            raise BadQuery("say what to erase: assets by id or name, or a filter, or everything")
        if collection is None and not everything:
            raise BadQuery("name the collection in which they are")
        return [self._collection(collection)] if collection is not None else visible(self._parts, self._owner)

    def _matched(
        self, kept: Collection, keys: Sequence[str | UUID], where: str | Filter | None
    ) -> tuple[list[AssetId], list[str]]:
        """The assets, all when nothing is said of which, and the names that no asset has."""
        if keys:
            ids, unknown = self._ids(kept, tuple(keys))
            return list(dict.fromkeys(ids)), unknown
        if isinstance(where, str):
            where = parse(where, kept.fields)
        return matching(self._parts, self._tenant, kept.name, where), []

    def _points(self, kept: Collection, ids: Sequence[AssetId]) -> int:
        return sum(
            len(self._parts.store.of_assets(index, ids[at : at + 20]))
            for index, _ in indexes_of(self._parts, kept.name)
            for at in range(0, len(ids), 20)
        )

    def erasures(self, *, after: int = 0, limit: int = 1000) -> list[Erasure]:
        """A page of receipts by number; the operator sees those of all tenants."""
        whose = None if self._owner is None else self._tenant
        return self._parts.catalogue.erasures(whose, after=after, limit=limit)

    def erasure(self, number: int) -> Erasure:
        """One receipt. Raises NoSuchErasure."""
        found = self.erasures(after=number - 1, limit=1) if 0 < number < 2**31 else []
        if not found or found[0].number != number:
            raise NoSuchErasure(f"there is no receipt {number}: `quiver erasures list` shows those there are")
        return found[0]

    def verify_erasures(self, kept: Sequence[Erasure] = ()) -> ChainReport:
        """Whether the chain holds, from its first receipt to its last, and so in the book beside the catalogue; and
        whether receipts that somebody kept are in it as they were given."""
        catalogue = self._parts.catalogue
        count, last, wrong = 0, None, None
        hashes: dict[int, str] = {}
        while wrong is None and (page := catalogue.erasures(None, after=count)):
            wrong = broken(page, last)
            count, last = page[-1].number, page[-1]
            hashes |= {each.number: each.hash for each in page}
        if wrong is None:
            wrong = self._book_wrong(hashes) or _kept_wrong(kept, hashes)
        return ChainReport(
            receipts=len(hashes),
            hash=last.hash if last is not None else "",
            wrong=wrong,
            open=len(catalogue.erasings()),
        )

    def _book_wrong(self, hashes: dict[int, str]) -> str | None:
        try:
            written = book_of(self._parts).all()
        except CatalogueBroken as fault:
            return str(fault) if self._owner is None else "the book beside the catalogue was changed"
        for each in written:
            if hashes.get(each.number) != each.hash:
                return f"the book beside the catalogue has another receipt {each.number} than the catalogue"
        return None

    def replay_erasures(self, kept: Sequence[Erasure] = ()) -> list[Erasure]:
        """Erase again, for all tenants, whatever was ever erased and is there now, after an older copy was restored;
        the receipts of that. `kept`: receipts that the catalogue and its book may have lost. Raises Conflict when they
        do not belong to this chain."""
        return replay(self._parts, kept)


def _kept_wrong(kept: Sequence[Erasure], hashes: dict[int, str]) -> str | None:
    for each in kept:
        if hash_of(each) != each.hash:
            return f"the receipt {each.number} that was kept was changed: its hash is another's"
        if hashes.get(each.number) != each.hash:
            return f"the receipt {each.number} that was kept is not in the chain: it was taken out or exchanged"
    return None
