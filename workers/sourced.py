"""A source beside what it gave before: what need not be read again, and what it has no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from core.errors import Conflict, Refused
from core.types import Asset, AssetId, Digest
from ingest.sources.folder import Found, is_young
from ingest.sources.ledger import Given, Ledger
from ingest.sources.manifest import Item
from ingest.sources.paths import Source, apart
from ingest.sources.seen import Seen
from ingest.sources.stored import Stored

BATCH = 256  # items that are looked up at a time

Remove = Callable[[Sequence[AssetId]], object]
Take = Callable[[Iterator[Item | Refused], "Sourced"], None]
Registered = tuple[str, AssetId, Digest | None]  # external id, and the digest that was read where it is known
Look = Callable[[Sequence[AssetId]], Mapping[AssetId, Asset]]  # those of these assets that are there now


@dataclass(frozen=True, slots=True)
class Known:
    """An item that is as it was when it was taken in, and so is its asset: nothing is to do."""

    external_id: str
    asset: AssetId


@dataclass(slots=True)
class Ran:
    """What going through sources did beside taking in."""

    pruned: list[str] = field(default_factory=list)
    faults: list[Refused] = field(default_factory=list)
    young: int = 0  # files left out, for they may still be being written


def go_through(
    named: Sequence[Source],
    ledger: Ledger,
    scope: str,
    look: Look,
    *,
    take: Take | None,
    remove: Remove | None,
    prune: bool,
    force: bool,
    settling: bool,
) -> Ran:
    """Take in each source, then remove what it has no more, where that is asked for.

    Without `take` the items are only listed, and without `remove` it is only said what would go.
    """
    ran = Ran()
    for source, items in apart(named):
        with closing(Sourced(ledger, scope, source.name, look, settling=settling)) as sourced:
            if take is None:
                ran.faults += sourced.listed(items)
            else:
                take(items, sourced)
            ran.young += sourced.young
            if prune:
                try:
                    ran.pruned += sourced.prune(sourced.gone(force=force), remove)
                except Conflict as fault:
                    ran.faults.append(fault)
    return ran


class Sourced:
    """One run through one source. Close it."""

    def __init__(self, ledger: Ledger, scope: str, source: str, look: Look, *, settling: bool = False) -> None:
        """`scope`: whose ids they are. `settling`: leave out files that may still be being written."""
        self._ledger, self._scope, self._source, self._look = ledger, scope, source, look
        self._settling = settling
        self._seen = Seen()
        self._marks: dict[str, str] = {}  # of items on their way into the catalogue, as they were before being read
        self.doubts = 0  # faults of the listing
        self.young = 0  # files left out

    def close(self) -> None:
        """Harmless twice."""
        self._seen.close()

    def chosen(self, items: Iterable[Item | Refused]) -> Iterator[Item | Refused | Known]:
        """The items in order, those that are known as such."""
        batch: list[tuple[Found | Stored, str]] = []
        for item in items:
            if isinstance(item, Refused):
                self.doubts += 1
                yield item
                continue
            self._seen.first(item.external_id, "")
            if not isinstance(item, (Found, Stored)):
                yield from self._looked_up(batch)
                batch = []
                yield item
            elif self._settling and isinstance(item, Found) and is_young(item.path):
                self.young += 1
            else:
                batch.append((item, mark_of(item)))
                if len(batch) >= BATCH:
                    yield from self._looked_up(batch)
                    batch = []
        yield from self._looked_up(batch)

    def listed(self, items: Iterable[Item | Refused]) -> list[Refused]:
        """See all items and take none; the faults among them."""
        faults = []
        for item in items:
            if isinstance(item, Refused):
                faults.append(item)
            else:
                self._seen.first(item.external_id, "")
        self.doubts += len(faults)
        return faults

    def _looked_up(self, batch: Sequence[tuple[Found | Stored, str]]) -> Iterator[Item | Known]:
        names = [item.external_id for item, mark in batch if mark]
        known = self._ledger.known(self._scope, self._source, names) if names else {}
        there = self._look([given.asset for given in known.values()]) if known else {}
        for item, mark in batch:
            given = known.get(item.external_id)
            asset = there.get(given.asset) if given else None
            if given and asset and given.mark == mark and given.generation == asset.generation:
                yield Known(item.external_id, given.asset)
            else:
                self._marks[item.external_id] = mark
                yield item

    def look(self, assets: Sequence[AssetId]) -> Mapping[AssetId, Asset]:
        """Those of these assets that are there now, whichever source gave them."""
        return self._look(assets)

    def keep(self, registered: Sequence[Registered], there: Mapping[AssetId, Asset] | None = None) -> None:
        """Note what was registered; `there` was looked up since, or is looked up here."""
        if there is None:
            there = self._look([asset for _, asset, _ in registered])
        given = []
        for name, asset, digest in registered:
            mark = self._marks.pop(name, "")
            now = there.get(asset)
            if now is not None and digest in (None, now.digest):  # otherwise it is somebody else's by now
                given.append(Given(name, mark, asset, now.generation))
        self._ledger.keep(self._scope, self._source, given)

    def gone(self, *, force: bool) -> list[Given]:
        """What the source gave once and has no more, after all its items were seen.

        Raises Conflict when that may be a mistake, unless `force`: something could not be listed, or over half is gone.
        """
        before, out = 0, []
        for given in self._ledger.all(self._scope, self._source):
            before += 1
            if not self._seen.has(given.external_id):
                out.append(given)
        if out and not force:
            if self.doubts:
                raise Conflict(
                    f"{self._source}: nothing is pruned, for what {self.doubts} faults stand for may still be there: "
                    "put them right, or use --force"
                )
            if 2 * len(out) > before:
                raise Conflict(
                    f"{self._source}: nothing is pruned, for {len(out)} of {before} things would go: is all of it "
                    "there and mounted? If so, use --force"
                )
        return out

    def prune(self, gone: Sequence[Given], remove: Remove | None) -> list[str]:
        """Remove what is gone, and is still as this source gave it; the external ids of that. None: only say it."""
        out: list[str] = []
        for at in range(0, len(gone), BATCH):
            some = gone[at : at + BATCH]
            there = self._look([given.asset for given in some])
            mine = [g for g in some if g.asset in there and there[g.asset].generation == g.generation]
            out += [given.external_id for given in mine]
            if remove is None:
                continue
            if mine:
                remove([given.asset for given in mine])
            self._ledger.forget(self._scope, self._source, [given.external_id for given in some])
        return out


def mark_of(item: Found | Stored) -> str:
    """Changes when the thing, its sidecars, or what is said of it changes. Empty: it cannot be told."""
    marks = [item.mark, *(f"{sidecar.name} {sidecar.mark}" if sidecar.mark else "" for sidecar in item.sidecars)]
    if not all(marks):
        return ""
    try:
        said = json.dumps([marks, item.metadata], sort_keys=True, ensure_ascii=True, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""
    return hashlib.sha256(said.encode()).hexdigest()[:32]
