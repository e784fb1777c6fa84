"""Each implementation of a port in turn: the catalogue of either database, and every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.fields import FieldType
from core.ports import VectorStore
from core.records import Collection, Index, IndexState
from tests.contract.catalogues import empty, index_named
from tests.contract.vector_stores import KINDS, make_index, open_store


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlCatalogue]:
    if request.param == "sqlite":
        made = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db", max_attempts=2)
    else:
        made = open_catalogue(request.getfixturevalue("postgres_url"), max_attempts=2)
        empty(made)
    made.create_collection(Collection(name="c", fields={"kind": FieldType.KEYWORD}, profile="p"))
    made.create_index(index_named("c-1", IndexState.SERVING))
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def store(request, tmp_path) -> Iterator[VectorStore]:
    store = open_store(request.param, tmp_path / "store")
    yield store
    for index_id in store.indexes() if request.param == "server" else ():
        store.drop(index_id)
    store.close()


@pytest.fixture
def index(store) -> Index:
    index = make_index()
    store.create(index)
    return index
