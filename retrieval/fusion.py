"""Fusion of ranked lists into one order. Pure: inputs are not touched, the order of the lists does not matter."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
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
    # Sorted before the sum: float addition depends on its order, and the answer must not.
    scores = {key: sum(sorted(parts)) for key, parts in terms.items()}
    return sorted(scores.items(), key=lambda item: (-item[1], str(item[0])))
