"""What the server store adds to the port: its faults, and its manners on a server it shares."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from core.errors import BadPoint, Conflict, Defect, Misconfigured, ModelMismatch, NoSuchCollection, StoreDown
from core.records import Index, IndexState
from core.stores.server import ServerStore, connect, translated
from tests.strategies import FIELDS, make_space

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
INDEX = Index(id="i", collection="c", state=IndexState.SERVING, spaces=(make_space(),), fields=FIELDS)


def answered(status: int, said: str) -> UnexpectedResponse:
    return UnexpectedResponse(status, "", said.encode(), httpx.Headers())


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        (answered(404, "Not found: Collection `quiver-i` doesn't exist!"), NoSuchCollection),
        (answered(400, "Wrong input: Not existing vector name error: x"), ModelMismatch),
        (answered(400, "Wrong input: Vector dimension error: expected dim: 8, got 5"), BadPoint),
        (answered(422, "Validation error"), BadPoint),
        (answered(401, "Must provide an API key"), Misconfigured),
        (answered(403, "Forbidden"), Misconfigured),
        (answered(429, "Too many requests"), StoreDown),
        (answered(500, "Service internal error"), StoreDown),
        (answered(503, "bad gateway"), StoreDown),
        (ResponseHandlingException(httpx.ConnectError("refused")), StoreDown),
        (RuntimeError("QdrantLocal instance is closed."), StoreDown),
        (OSError("reset"), StoreDown),
        (ValueError("Collection i not found"), NoSuchCollection),
        (ValueError("Dense vector x is not found in the collection"), ModelMismatch),
        (ValueError("limit value 0 is invalid"), BadPoint),
        (KeyError("ours"), Defect),
        (Conflict(), Conflict),
    ],
)
def test_every_error_of_the_client_has_its_fault(raised, fault):
    with pytest.raises(fault) as caught, translated("i"):
        raise raised
    assert type(caught.value) is fault


def test_a_server_that_is_not_there_is_down():
    store = connect("http://127.0.0.1:9")
    with pytest.raises(StoreDown, match="QDRANT_URL"):
        store.indexes()
    store.close()


def test_collections_of_others_are_not_ours_to_list_or_take():
    client = QdrantClient(":memory:")
    store = ServerStore(client)
    params: Any = m.VectorParams(size=2, distance=m.Distance.DOT)
    client.create_collection("theirs", params)
    client.create_collection("quiver-i", params)  # of our prefix, and yet not made by us
    store.drop("theirs")
    assert client.collection_exists("theirs")
    with pytest.raises(Conflict, match="not ours"):
        store.create(INDEX)
    store.drop("i")
    store.create(INDEX)
    assert store.indexes() == ["i"]
    assert client.collection_exists("theirs")
    store.close()


def test_an_alias_leads_others_to_the_index_that_serves() -> None:
    client = QdrantClient(":memory:")
    store = ServerStore(client)
    other = Index(id="i2", collection="c", state=IndexState.SERVING, spaces=(make_space(),), fields=FIELDS)
    for index in (INDEX, other):
        store.create(index)
    for index in (INDEX, INDEX, other, INDEX, other):
        store.serve(index)
        [alias] = client.get_aliases().aliases
        assert (alias.alias_name, alias.collection_name) == ("quiver-c", f"quiver-{index.id}")
    assert store.indexes() == ["i", "i2"], "an alias is no index"
    with pytest.raises(NoSuchCollection):
        store.serve(Index(id="none", collection="c", state=IndexState.SERVING, spaces=(make_space(),), fields=FIELDS))
    store.close()
