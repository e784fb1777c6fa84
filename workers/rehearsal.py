"""What a reindexing will take, measured: a few assets go the whole way, but for the write."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from uuid import UUID

from core.errors import Fault
from core.indexes import Share
from core.records import Claim, Collection, Index
from core.runtime.settings import lane_count
from core.runtime.wiring import Parts
from core.types import Asset, AssetId, Modality
from workers.copying import Change, Copying
from workers.embedding import Work
from workers.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A sample of assets, and what happened to it."""

    assets: int
    failed: Mapping[str, int]  # by class of the fault: what will fail of all, in proportion
    each: Mapping[Modality, float]  # seconds of one lane an asset, by modality
    writing: float  # seconds of one lane an asset, as indexing took so far
    lanes: int
    messages: tuple[str, ...] = field(default_factory=tuple)  # of the first few that failed

    def seconds(self, census: Sequence[Share]) -> float | None:
        """Of all assets, by the lanes of this machine; of a modality that was not in the sample, as of the others."""
        if not self.each:
            return None
        usual = sum(self.each.values()) / len(self.each)
        alone = sum(share.assets * (self.each.get(share.modality, usual) + self.writing) for share in census)
        return alone / self.lanes


def rehearse(parts: Parts, collection: Collection, old: Index, new: Index, change: Change, *, sample: int) -> Rehearsal:
    """Make the points of a random sample for the new index, and write none of them. The model loads before."""
    failed: Counter[str] = Counter()
    messages: list[str] = []

    def fail(claim: Claim, fault: Fault) -> None:
        failed[fault.kind] += 1
        messages.append(f"{claim.asset.external_id}: {fault}")

    work = Work(parts=parts, collection=collection, index=new, tally=Tally(), failed=fail)
    copying = Copying(work=work, old=old, change=change, dry=True)
    chosen = sampled(parts, old, sample)
    took: dict[Modality, list[float]] = {}
    for at, asset in enumerate([*chosen[:1], *chosen]):
        began = perf_counter()
        copying.write([Claim(asset=asset, token="", attempt=1)])
        if at:
            took.setdefault(asset.modality, []).append(perf_counter() - began)
        else:
            failed.clear()
            messages.clear()
    spent = parts.catalogue.spent(collection.name)
    return Rehearsal(
        assets=len(chosen),
        failed=failed,
        each={modality: sum(some) / len(some) for modality, some in took.items()},
        writing=spent.get("upsert", 0.0) + spent.get("commit", 0.0),
        lanes=lane_count(parts.settings),
        messages=tuple(messages[:5]),
    )


def sampled(parts: Parts, index: Index, count: int, *, seed: int | None = None) -> list[Asset]:
    """Assets that an index has, at random: ids are drawn evenly, and so are places among them."""
    draw = random.Random(seed)  # noqa: S311  # a sample, not a secret
    found: dict[AssetId, int] = {}
    for _ in range(count):
        start = AssetId(UUID(int=draw.getrandbits(128)))
        some = parts.catalogue.signed(index, after=start, limit=1) or parts.catalogue.signed(index, limit=1)
        found |= {asset_id: generation for asset_id, generation, _ in some}
    if len(found) < count:  # few assets: all of them then
        found |= {asset_id: generation for asset_id, generation, _ in parts.catalogue.signed(index, limit=count)}
    standings = parts.catalogue.standings(index, list(found)[:count])
    return [one.asset for one in standings if not one.removed and one.generation == one.asset.generation]
