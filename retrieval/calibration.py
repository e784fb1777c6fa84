"""Calibration: raw scores of a space to probabilities of relevance. A curve is data, and monotone.

Cosines of two modality pairs do not compare (Liang et al. 2022, "Mind the Gap"), and of one pair nobody can say from
which on they mean something. What can be said of any is how many assets a question finds that is about something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.types import Modality

KNOTS = 64  # of a curve at most
STEADY = 100  # things from which on a curve that no judgements made is more than a rough one

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Probabilities at knots, between them by straight lines, beyond them as at the ends.

    `x` f64 (k,), increasing scores; `y` f64 (k,), in 0..1 and never falling. `things`: how many of its kind there were
    when it was fitted; None where judgements made it, or it is not known.
    """

    x: Floats
    y: Floats
    things: int | None = field(default=None, kw_only=True)

    def __call__(self, scores: Floats) -> Floats:
        """f64 (n,) of f64 (n,)."""
        out: Floats = np.interp(scores, self.x, self.y)
        return out

    def score_of(self, probability: float) -> float | None:
        """The lowest score that is at least so likely to be right; None when no score is."""
        if self.y[-1] < probability:
            return None
        return float(np.interp(probability, self.y, self.x))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: what the catalogue keeps with an index."""
        return {"x": [round(float(at), 6) for at in self.x], "y": [round(float(at), 6) for at in self.y]}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Curve:
        """The inverse of `as_dict`, whatever else is said there."""
        return cls(np.asarray(said["x"], np.float64), np.asarray(said["y"], np.float64), things=said.get("things"))


Curves = Mapping[tuple[str, Modality, Modality], Curve]  # by fingerprint, modality of the query, of the content
NO_CURVES: Curves = {}


def expected(tops: Sequence[Sequence[float]]) -> Curve | None:
    """A curve from nothing but questions that are, nearly all, about something else: of each the scores of the assets
    that it found first. None without any score.

    E(s) is how many assets such a question finds that score s or more, on average: the E-value of sequence search
    (Karlin and Altschul 1990). One right asset against E wrong ones that look as good is right with probability
    1 / (1 + E). So the best of many wrong assets, of which there always is one, is no answer; and as E grows with the
    collection, a curve is of its size.
    """
    found = np.sort(np.concatenate([np.asarray(scores, np.float64) for scores in tops] or [np.empty(0)]))[::-1]
    if not len(found):
        return None
    ranks = np.unique(np.geomspace(1, len(found), KNOTS).round().astype(np.int64))
    x = found[ranks - 1]
    above = np.searchsorted(-found, -x, side="right")  # how many score as much: all of a tie
    x, first = np.unique(x, return_index=True)
    further = x[-1] + max(1e-3, (x[-1] - x[0]) / KNOTS)  # than any of them found anything: a tie says little of it
    expect = np.append(above[first] - 0.5, 0.5) / len(tops)
    return Curve(np.append(x, further), 1 / (1 + expect))
