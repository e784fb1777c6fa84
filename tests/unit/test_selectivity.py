"""How a query is answered, by how many points its filter leaves."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest

from core.filters import Eq
from core.points import EF, Found, Nearest, Scope
from core.records import Index, IndexState
from core.spaces import Metric
from core.stores.memory import MemoryStore
from core.types import AssetId, Modality, Tenant
from retrieval import selectivity, walks
from retrieval.selectivity import tuned
from tests.strategies import FIELDS, make_space, sparse

SPACE = make_space(dim=512)
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(SPACE, TERMS), fields=FIELDS)
T = Scope(tenant=Tenant("t"))
QUERY = Nearest(space=SPACE, vector=np.ones(512, np.float32), scope=T)


class Counted(MemoryStore):
    """A store that is asked for estimates and says what it was told to."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points, self.asked = points, 0

    def count(self, index, scope, where=None, *, exact=True):
        assert not exact
        self.asked += 1
        return self.points


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(selectivity, "monotonic", lambda: now[0])
    return now


def test_few_points_are_compared_one_by_one_and_many_are_walked():
    assert tuned(Counted(1000), INDEX, [QUERY])[0].exact
    assert tuned(Counted(10**6), INDEX, [QUERY]) == [QUERY]


def test_what_is_left_of_much_is_walked_more_widely():
    class Filtered(Counted):
        def count(self, index, scope, where=None, *, exact=True):
            return 3 * 10**5 if where else 10**6

    (narrow,) = tuned(Filtered(0), INDEX, [replace(QUERY, where=Eq("a_bool", True))])
    assert (narrow.exact, narrow.ef) == (False, 4 * EF)


class Walked(Counted):
    """A store of ten points, of which a walk finds as many as were asked for candidates, up to what it is told."""

    def __init__(self, enough: int, *, points: int = 100_000) -> None:
        super().__init__(points)
        self.enough, self.searches = enough, 0

    def search(self, index, queries):
        self.searches += 1
        shown = [10 if query.exact or query.ef >= self.enough else 9 for query in queries]
        return [[Found(UUID(int=n), 1 - n / 10, {}) for n in range(count)] for count in shown]


@pytest.mark.parametrize("enough", [*walks.LADDER, 10**6])
def test_a_walk_is_believed_when_it_was_seen_to_find_what_a_scan_does(enough):
    store = Walked(enough)
    first = [tuned(store, INDEX, [QUERY])[0] for _ in range(walks.FIRST)]
    assert all(query.exact for query in first[:-1])
    assert store.searches == walks.FIRST
    (then,) = tuned(store, INDEX, [QUERY])
    assert (then.exact, then.ef) == ((True, None) if enough == 10**6 else (False, enough))
    assert store.searches == walks.FIRST
    assert tuned(store, INDEX, [replace(QUERY, scope=replace(T, contents=frozenset({Modality.IMAGE})))])[0].exact


def test_a_graph_that_has_become_worse_is_noticed():
    store = Walked(EF)
    for _ in range(walks.FIRST):
        tuned(store, INDEX, [QUERY])
    store.enough = 10**6
    answers = [tuned(store, INDEX, [QUERY])[0] for _ in range(3 * walks.EVERY)]
    assert not answers[0].exact
    assert answers[-1].exact


def test_equal_scores_are_as_good_as_each_other():
    class Same(Walked):
        def search(self, index, queries):
            return [[Found(uuid4(), 0.5, {}) for _ in range(10)] for _ in queries]

    store = Same(0)
    assert [tuned(store, INDEX, [QUERY])[0].ef for _ in range(walks.FIRST + 1)][-1] == EF


def test_what_was_decided_before_and_what_is_sparse_is_left_alone():
    store = Counted(1000)
    said = [replace(QUERY, exact=True), replace(QUERY, ef=7), replace(QUERY, space=TERMS, vector=sparse(i1=1))]
    assert tuned(store, INDEX, said) == said
    assert store.asked == 0


def test_the_store_is_asked_once_for_the_same_filter_until_the_estimate_is_old(clock):
    store, other = Counted(1000), replace(QUERY, where=Eq("a_bool", True))
    tuned(store, INDEX, [QUERY, QUERY, other])
    tuned(store, INDEX, [replace(other, scope=replace(T, without=frozenset({AssetId(UUID(int=1))})))])
    assert store.asked == 2
    clock[0] = selectivity.KEPT
    tuned(store, INDEX, [QUERY])
    assert store.asked == 3
    tuned(store, replace(INDEX, id="j"), [QUERY])
    assert store.asked == 4


def test_no_more_estimates_are_kept_than_there_is_room_for():
    store = Counted(1000)
    tuned(store, INDEX, [replace(QUERY, where=Eq("a_integer", n)) for n in range(selectivity.MOST + 1)])
    tuned(store, INDEX, [replace(QUERY, where=Eq("a_integer", n)) for n in range(selectivity.MOST, 0, -1)])
    assert store.asked == selectivity.MOST + 1
    tuned(store, INDEX, [replace(QUERY, where=Eq("a_integer", 0))])
    assert store.asked == selectivity.MOST + 2
