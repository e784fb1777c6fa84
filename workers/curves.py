"""How scores are read, as this process knows it: kept with each index, and looked up again after a few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from core.indexes import Share
from core.records import Index
from core.runtime.wiring import Parts
from retrieval.calibration import Curve, Curves

SMALL = 50_000  # points that are compared one by one; and up to which a fit does not keep a search waiting for long
LEAST = 100  # assets from which on scores are calibrated unasked
GROWN = 2  # times as many assets make it anew: what questions find by chance grows with them
FRESH = 5.0  # seconds for which another process's fit may be missed
LOOK, RARELY = 60.0, 600.0  # seconds between counts of a collection's assets; of a large one's


def assets_of(census: Sequence[Share]) -> int:
    """How many assets an index has."""
    return sum(share.assets for share in census)


class Known:
    """What is kept with indexes, read again after a few seconds: a search costs no SQL more."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._held: dict[str, tuple[float, Curves]] = {}
        self._looked: dict[str, float] = {}

    def curves_of(self, index: Index) -> Curves:
        """The curves of an index; none of one that nobody calibrated. Raises CatalogueDown."""
        until, curves = self._held.get(index.id, (0.0, {}))
        if monotonic() >= until:
            kept = self._parts.catalogue.calibrations(index.id)
            curves = {(one.fingerprint, one.asked, one.content): Curve.from_dict(one.curve) for one in kept}
            self._held[index.id] = (monotonic() + FRESH, curves)
        return curves

    def forget(self, index: Index) -> None:
        """Read it again at the next search."""
        self._held.pop(index.id, None)

    def due(self, index: Index, least: int = LEAST) -> bool:
        """Whether it is time to fit: there is enough, and nothing is known of it or of so many. Counts its assets,
        which is not done again for a while."""
        kept = self._parts.catalogue.calibrations(index.id)
        before = max((one.curve["assets"] for one in kept), default=0)
        if monotonic() < self._looked.get(index.id, 0.0):
            return False
        self._looked[index.id] = monotonic() + (RARELY if before > SMALL else LOOK)
        return assets_of(self._parts.catalogue.census(index.id)) >= max(least, GROWN * before)

    def close(self) -> None:
        """Nothing is held open."""


def known(parts: Parts) -> Known:
    """What this process knows of curves."""
    return parts.also(Known, lambda: Known(parts))
