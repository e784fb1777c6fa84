"""Fusion of ranked lists into one order. Pure: inputs are not touched, the order of the lists does not matter."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)
Scored = Sequence[tuple[K, float]]  # best first
RANK_CONSTANT = 60  # Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009


def rrf(
    lists: Mapping[str, Sequence[K]], weights: Mapping[str, float] | None = None, k: int = RANK_CONSTANT
) -> list[tuple[K, float]]:
    """The union of the lists by sum of weight / (k + rank), rank from 1; ties by the key's text.

    A list without a weight weighs 1. Of a key that stands twice in a list the better rank counts.
    """
    terms: dict[K, list[float]] = {}
    for name, ranked in lists.items():
        weight = (weights or {}).get(name, 1.0)
        for rank, key in enumerate(dict.fromkeys(ranked), start=1):
            terms.setdefault(key, []).append(weight / (k + rank))
    return _ordered({key: _sum(parts) for key, parts in terms.items()})


def weighted(
    lists: Mapping[str, Scored[K]],
    weights: Mapping[str, float] | None = None,
    could: Mapping[K, Collection[str]] | None = None,
) -> list[tuple[K, float]]:
    """The union of the lists by weighted mean of their scores, which must be of one scale; ties by the key's text.

    `could` names the lists that a key could have stood in: there it scores 0 where it does not; lists of modalities
    that it does not have do not count. A key that is not named could have stood where it stands.
    """
    scores: dict[K, dict[str, float]] = {}
    for name, scored in lists.items():
        for key, score in scored:
            mine = scores.setdefault(key, {})
            mine[name] = max(score, mine.get(name, score))
    return _ordered(
        {key: _mean(mine, weights or {}, {*mine, *(could or {}).get(key, ())}) for key, mine in scores.items()}
    )


def dbsf(
    lists: Mapping[str, Scored[K]],
    weights: Mapping[str, float] | None = None,
    could: Mapping[K, Collection[str]] | None = None,
) -> list[tuple[K, float]]:
    """Distribution-based score fusion (Mazzeschi 2023, as in Qdrant): scores of each list are put on one scale by its
    own mean and deviation, three of which to either side are 0 and 1; then as `weighted`."""
    return weighted({name: _spread(scored) for name, scored in lists.items()}, weights, could)


def _spread(scored: Scored[K]) -> list[tuple[K, float]]:
    values = np.sort(np.array([score for _, score in scored], np.float64))
    if not len(values):
        return []
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation:
        return [(key, 0.5) for key, _ in scored]
    return [(key, min(1.0, max(0.0, (score - mean) / (6 * deviation) + 0.5))) for key, score in scored]


def _mean(scores: Mapping[str, float], weights: Mapping[str, float], names: Collection[str]) -> float:
    total = _sum([weights.get(name, 1.0) for name in names])
    return _sum([weights.get(name, 1.0) * score for name, score in scores.items()]) / total if total else 0.0


def _sum(terms: Sequence[float]) -> float:
    """Sorted before it is summed: float addition depends on its order, and the answer must not."""
    return sum(sorted(terms))


def _ordered(scores: Mapping[K, float]) -> list[tuple[K, float]]:
    return sorted(scores.items(), key=lambda item: (-item[1], str(item[0])))
