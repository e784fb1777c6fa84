"""One index' part in a batch: what is there is taken, the rest embedded, all of it written. Signing comes after."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection as Some
from collections.abc import Mapping, Sequence
from datetime import timedelta

from core.errors import CatalogueDown, Defect, Fault, NoSuchCollection, Refused
from core.points import Points
from core.records import Claim, Collection, Index, IndexState
from core.runtime import metrics
from core.runtime.wiring import Parts
from core.types import AssetId
from workers.embedding import Known, Prepared, Work, encode, encoders_of, fitting, no_space, pieces, points_of, prepare
from workers.reading import Beat, complete
from workers.reuse import reused
from workers.serving import made_sure, serves_yet
from workers.tally import Tally

log = logging.getLogger(__name__)
BACKOFF = timedelta(seconds=5)  # doubled with every attempt
BACKOFF_CAP = timedelta(minutes=10)

Counts = dict[Claim, int]  # points of each


class Writing:
    """One index' part in a batch of claims."""

    def __init__(
        self,
        parts: Parts,
        collection: Collection,
        index: Index,
        tally: Tally,
        beat: Beat,
        known: Known | None,
        claims: Sequence[Claim],
    ) -> None:
        self.index = index
        self.serves = index.state is IndexState.SERVING
        self.long: list[Claim] = []
        self._parts, self._tally, self._claims = parts, tally, claims
        self._work = Work(
            parts=parts,
            collection=collection,
            index=index,
            tally=tally,
            failed=self._fail,
            beat=beat,
            known=known,
        )

    def write(self) -> Counts:
        """Write what comes in one piece; how many points each has now. The others are in `long` then."""
        self._claims = fitting(self._work, self._claims)
        if not self._claims:
            return {}
        try:
            counts, left = self._write_anew()
            for fresh in map(self._write_fresh, prepare(self._work, left, self.long)):
                counts |= fresh
            return counts
        except Fault as fault:
            left_behind(self._parts, self.index, fault, self._claims)
            self.long = []
            return {}

    def _write_anew(self) -> tuple[Counts, list[Claim]]:
        """Write anew what has its vectors in the index already; the claims that are left to be embedded."""
        with self._tally.timed("reuse"):
            try:
                known = reused(
                    self._parts.catalogue, self._parts.store, [self.index], self._work.collection, self._claims
                )
            except NoSuchCollection:  # the store has lost the index of receipts: nothing is there to be taken
                return {}, list(self._claims)
        if not known.claims:
            return {}, list(self._claims)
        self._upsert(known.points[self.index.id])
        again = set(known.claims)
        return known.counts(self.index), [claim for claim in self._claims if claim not in again]

    def _write_fresh(self, prepared: Prepared) -> Counts:
        written, points = encode(self._work, prepared)
        held = Counter(said["asset"] for said in points.payloads)
        counts = {claim: held[str(claim.asset.id)] for claim, _ in written}
        for claim, count in counts.items():
            if not count:
                self._fail(claim, no_space(self.index, claim.asset))
        counts = {claim: count for claim, count in counts.items() if count}
        if counts:
            self._upsert(points)
        return counts

    def write_long(self, claim: Claim) -> Counts:
        """Write an asset of many pieces: each before the next is decoded. The lease is renewed meanwhile."""
        parts, count = self._parts, 0
        try:
            encoders = encoders_of(parts, self._work.collection, self.index)
            with pieces(self._work, claim, fresh=True) as made:
                course = self._work.course(claim.asset)
                for decoded in made:
                    with self._tally.timed("read"):
                        piece = complete(course, decoded)
                    with self._tally.timed("encode"):
                        points = points_of(self.index, encoders, [(claim, piece.segments)])
                    self._upsert(points)
                    count += len(points)
                    with self._tally.timed("commit"):
                        if not parts.catalogue.renew([claim], parts.settings.lease):
                            break  # it changed, or is another's by now: no receipt will be taken, and that clears up
                else:
                    if not count:
                        raise no_space(self.index, claim.asset)
        except (Refused, Defect) as fault:
            if parts.catalogue.renew([claim], parts.settings.lease):  # else its points are another's by now
                forget(parts, self.index, {claim.asset.id: None})  # half of it shall not be found
                self._fail(claim, fault)
            return {}
        except Fault as fault:
            left_behind(parts, self.index, fault, [claim])
            return {}
        return {claim: count}

    def _upsert(self, points: Points) -> None:
        with self._tally.timed("upsert"):
            made_sure(self._parts, self.index, lambda: self._parts.store.upsert(self.index, points))

    def _fail(self, claim: Claim, fault: Fault) -> None:
        if self.serves:
            metrics.failed(fault.kind)
            self._tally.failed += 1
        retry = fault.retryable and claim.attempt < self._parts.settings.max_attempts
        self._record(claim, fault, _pause(claim) if retry else None)

    def _record(self, claim: Claim, fault: Fault, retry_in: timedelta | None) -> None:
        self._parts.catalogue.fail(claim, kind=fault.kind, message=str(fault), retry_in=retry_in, index=self.index)


def left_behind(parts: Parts, index: Index, fault: Fault, claims: Some[Claim]) -> None:
    """What is the matter with an index that does not serve is no matter of the assets: it is to be tried again there.

    Raises the fault when the index serves, or the catalogue is down.
    """
    if isinstance(fault, CatalogueDown) or serves_yet(parts, index):
        raise fault
    log.warning("index %s is left behind with %d assets: %s", index.id, len(claims), fault)
    for claim in claims:
        parts.catalogue.fail(claim, kind=fault.kind, message=str(fault), retry_in=_pause(claim), index=index)


def _pause(claim: Claim) -> timedelta:
    return min(BACKOFF * (1 << min(claim.attempt - 1, 16)), BACKOFF_CAP)


def forget(parts: Parts, index: Index, assets: Mapping[AssetId, int | None]) -> None:
    """As the store does it; an index that does not serve may have been dropped meanwhile, and then has nothing."""
    try:
        parts.store.forget(index, assets)
    except NoSuchCollection:
        if serves_yet(parts, index):
            raise
