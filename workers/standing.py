"""Assets whose receipt stands, each with the points that the receipt speaks of and their vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.points import Stored
from core.ports import Catalogue, VectorStore
from core.records import Index
from core.types import Asset, AssetId, Tenant

PAGE = 500  # receipts at a time
MOST = 512  # points held at once, or those of one asset that alone has more

Wanted = Callable[[Asset], bool]


@dataclass(frozen=True, slots=True)
class Signed:
    """An asset in the generation that its receipt speaks of, and how many points that has."""

    asset: Asset
    points: int


def signed(
    catalogue: Catalogue, index: Index, *, tenant: Tenant | None = None, wanted: Wanted | None = None
) -> Iterator[list[Signed]]:
    """Pages of those whose present generation has a receipt, by id: of one tenant, or of all; of those wanted."""
    after: AssetId | None = None
    while page := catalogue.signed(index, after=after, limit=PAGE, tenant=tenant):
        after = page[-1][0]
        standings = catalogue.standings(index, [asset for asset, _, _ in page])
        found = [
            Signed(one.asset, one.points)
            for one in standings
            if one.generation == one.asset.generation and not one.removed
            if wanted is None or wanted(one.asset)
        ]
        yield sorted(found, key=lambda one: one.asset.id.int)


def standing(
    catalogue: Catalogue,
    store: VectorStore,
    index: Index,
    *,
    tenant: Tenant | None = None,
    wanted: Wanted | None = None,
    on_missing: Callable[[Asset], None] | None = None,
) -> Iterator[tuple[Asset, list[Stored]]]:
    """Each with its points by source and ordinal. `on_missing` is told of those whose points are not as the receipt
    says: they are being changed, or the index has drifted. Raises StoreDown, NoSuchCollection, CatalogueDown."""
    for page in signed(catalogue, index, tenant=tenant, wanted=wanted):
        for some in _by_points(page):
            held: defaultdict[UUID, list[Stored]] = defaultdict(list)
            for point in store.of_assets(index, [one.asset.id for one in some]):
                held[UUID(point.payload["asset"])].append(point)
            for one in some:
                points = [p for p in held[one.asset.id] if p.payload["generation"] == one.asset.generation]
                if len(points) == one.points and all(p.payload["tenant"] == one.asset.tenant for p in points):
                    yield one.asset, points
                elif on_missing is not None:
                    on_missing(one.asset)


def _by_points(page: Sequence[Signed]) -> Iterator[list[Signed]]:
    run: list[Signed] = []
    for one in page:
        if run and sum(each.points for each in run) + one.points > MOST:
            yield run
            run = []
        run.append(one)
    if run:
        yield run
