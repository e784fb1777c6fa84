"""How a query is to be answered so that a filter costs no recall: by a walk through the graph, or by a scan.

A walk under a filter passes through points that do not count: the less a filter leaves, the less of what is near it
finds, and what it leaves far from the query is found worst. A scan finds all and costs in proportion to what is left.
Figures: docs/benchmarks.md. ACORN took several times longer than a wider walk that found the same: it is not used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from time import monotonic
from weakref import WeakKeyDictionary

from core.filters import Filter
from core.points import EF, Nearest, Scope
from core.ports import VectorStore
from core.records import Index
from retrieval.walks import reach

SCANNED = 10_000_000  # numbers that are compared rather than a graph walked: 20,000 vectors of 512, about 3 ms
TRIED = 100_000_000  # numbers up to which a walk is tried beside a scan, and a scan is an answer: about 30 ms
NARROW = 0.4  # share of what a tenant has; a filter that leaves less needs a wider walk
KEPT = 10.0  # seconds that an estimate is good for
MOST = 1024  # estimates kept for a store

_Key = tuple[str, Scope, Filter | None]
_known: WeakKeyDictionary[VectorStore, OrderedDict[_Key, tuple[float, int]]] = WeakKeyDictionary()
_lock = Lock()


def tuned(store: VectorStore, index: Index, queries: Sequence[Nearest]) -> list[Nearest]:
    """The same queries, in order, each with the `exact` or `ef` that its scope and filter need.

    Asks the store for an estimate of how many points are meant, once for many queries; and searches, where it is not
    known how far a walk must reach. Raises what `count` and `search` raise.
    """
    return [_tuned(store, index, query) for query in queries]


def _tuned(store: VectorStore, index: Index, query: Nearest) -> Nearest:
    if query.exact or query.ef is not None or query.space.sparse:  # said already, or exact by its nature
        return query
    points = _estimate(store, index, query.scope, query.where)
    numbers = points * query.space.dim
    if numbers <= SCANNED:
        return replace(query, exact=True)
    narrow = points < NARROW * _estimate(store, index, Scope(tenant=query.scope.tenant, blocked=True), None)
    if numbers > TRIED:
        return replace(query, ef=4 * EF) if narrow else query
    ef = reach(store, index, query, points, narrow=narrow)
    return replace(query, exact=True) if ef is None else replace(query, ef=ef)


def _estimate(store: VectorStore, index: Index, scope: Scope, where: Filter | None) -> int:
    """How many points the store believes are meant, as of a few seconds ago."""
    scope = replace(scope, without=frozenset())  # few beside the rest, other ones each time, and perhaps a million
    key, now = (index.id, scope, where), monotonic()
    with _lock:
        mine = _known.setdefault(store, OrderedDict())
        if (held := mine.get(key)) is not None and now - held[0] < KEPT:
            return held[1]
    said = store.count(index, scope, where, exact=False)
    with _lock:
        mine[key] = now, said
        mine.move_to_end(key)
        while len(mine) > MOST:
            mine.popitem(last=False)
    return said
