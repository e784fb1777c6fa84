"""How a query is answered, by how many points its filter leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from core.filters import Eq
from core.points import Nearest, Scope
from core.records import Index, IndexState
from core.spaces import Metric
from core.stores.memory import MemoryStore
from core.types import AssetId, Tenant
from retrieval import selectivity
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
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [0.0]
    monkeypatch.setattr(selectivity, "monotonic", lambda: now[0])
    return now


def test_few_points_are_compared_one_by_one_and_many_are_walked():
    assert tuned(Counted(1000), INDEX, [QUERY])[0].exact
    assert not tuned(Counted(10**6), INDEX, [QUERY])[0].exact


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
