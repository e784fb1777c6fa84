"""How far a walk through the graph must reach to find what a scan finds: measured on the queries themselves.

How many candidates (`ef`) are enough depends on the vectors: in clusters 128 are, among 100,000 that lie evenly in 512
dimensions thousands are not. A few queries of each kind are answered both ways, and one now and then later on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from weakref import WeakKeyDictionary

from core.points import EF, Found, Nearest
from core.ports import VectorStore
from core.records import Index
from core.types import Modality

LADDER = (EF, 4 * EF, 8 * EF)  # a wider walk costs more than a scan of what is small enough to be tried
FIRST = 12  # queries of a kind that are tried before one is believed
EVERY = 256  # and then one of so many: a graph may have been built, or have grown
ENOUGH = 0.985  # of the ten nearest, on average over what was tried last: 0.98, and room for its error
NEAR = 1e-6  # scores that differ by less are the same

_Kind = tuple[str, str, frozenset[Modality], bool, int]


@dataclass(slots=True)
class _Tried:
    """What was seen of one kind of query: for each rung the recall at ten of the last queries that were tried."""

    asked: int = 0
    recalls: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=FIRST))


_seen: WeakKeyDictionary[VectorStore, dict[_Kind, _Tried]] = WeakKeyDictionary()
_lock = Lock()


def reach(store: VectorStore, index: Index, query: Nearest, points: int, *, narrow: bool) -> int | None:
    """How many candidates a walk for such a query needs; None: a scan is better. Asks the store when it must try.

    Kinds are told apart by space, by the modality that is looked for, by whether a filter leaves little, and by how
    many points there are, in powers of two.
    """
    kind = (index.id, query.space.vector_name, query.scope.contents, narrow, points.bit_length())
    with _lock:
        tried = _seen.setdefault(store, {}).setdefault(kind, _Tried())
        tried.asked += 1
        try_it = len(tried.recalls) < FIRST or tried.asked % EVERY == 0
    if try_it:
        recalls = _tried(store, index, query)
        with _lock:
            if recalls:
                tried.recalls.append(recalls)
    with _lock:
        if len(tried.recalls) < FIRST:
            return None
        means = [sum(rung) / len(rung) for rung in zip(*tried.recalls, strict=True)]
    return next((ef for ef, mean in zip(LADDER, means, strict=True) if mean >= ENOUGH), None)


def _tried(store: VectorStore, index: Index, query: Nearest) -> tuple[float, ...]:
    """Recall at ten of each rung; nothing when nothing is there to be found."""
    ten = replace(query, limit=10)
    exact, *walks = store.search(index, [replace(ten, exact=True), *(replace(ten, ef=ef) for ef in LADDER)])
    return tuple(_recall(exact, walk) for walk in walks) if exact else ()


def _recall(exact: Sequence[Found], walk: Sequence[Found]) -> float:
    """By score, since of equals any will do."""
    least = exact[-1].score - NEAR
    return min(1.0, sum(hit.score >= least for hit in walk) / len(exact))
