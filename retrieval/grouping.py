"""Groups of hits: of one value of a declared field no more than so many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from retrieval.lists import TIERS
from retrieval.request import Hit


def grouped(hits: Iterable[Hit], field: str, size: int) -> list[Hit]:
    """Hits in their order, without those whose value of the field `size` better ones have already.

    Of a list of values each counts. A hit without the field is in no group, and none limits it.
    """
    taken: Counter[Hashable] = Counter()
    out = []
    for hit in hits:
        values = values_of(hit, field)
        if all(taken[value] < size for value in values):
            taken.update(values)
            out.append(hit)
    return out


def values_of(hit: Hit, field: str) -> set[Hashable]:
    """The values of a field, as they are told apart: 1 is not true."""
    held = hit.metadata.get(field)
    return {_key(value) for value in (held if isinstance(held, list) else [held]) if value is not None}


def deeper(depth: int, found: Iterable[Sequence[Any]]) -> int | None:
    """How deep to ask when groups are too few so deep; None: the lists held no more, or it is as deep as one asks."""
    more = [step for step in TIERS if step > depth]
    return min(more) if more and any(len(one) >= depth for one in found) else None


def _key(value: object) -> Hashable:
    return json.dumps(value, sort_keys=True)
