"""Another Qdrant collection as a source."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m

from core.errors import BadManifest, BadQuery, NoSuchCollection
from core.stores import payloads
from core.stores.payloads import ServerPayloads
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline
from ingest.sources.paths import How, items, sources
from ingest.sources.points import Columns, address, columns_of
from ingest.sources.url import Remote

FIRST = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    made = QdrantClient(":memory:")
    made.create_collection("docs", m.VectorParams(size=2, distance=m.Distance.COSINE))
    yield made
    made.close()


def put(client: QdrantClient, points: dict[int | str, dict[str, object]]) -> None:
    client.upsert("docs", [m.PointStruct(id=key, vector=[1.0, 0.0], payload=said) for key, said in points.items()])


def how(client: QdrantClient, **columns: str) -> How:
    return How(columns=columns_of(columns), payloads=lambda _url, name: ServerPayloads(client, name))


def test_payloads_become_items_and_their_other_keys_metadata(client):
    put(
        client,
        {
            1: {"text": "hello", "kind": "a", "n": 1},
            2: {"url": "https://e.com/a.jpg", "kind": "b"},
            str(FIRST): {"path": "a/b.jpg", "text": None},
        },
    )
    said = list(items(["qdrant://h:6333/docs"], how(client)))
    assert sorted(map(repr, said)) == sorted(
        map(
            repr,
            [
                Inline("1", "hello", {"kind": "a", "n": 1}),
                Remote("2", "https://e.com/a.jpg", {"kind": "b"}),
                Found(str(FIRST), said[-1].path if isinstance(said[-1], Found) else said[0].path, {}),  # type: ignore[union-attr]  # one of them is
            ],
        )
    )


def test_columns_name_the_fields(client):
    put(client, {1: {"body": "hello", "sku": "x-1", "text": "kept"}, 2: {"body": "again", "sku": None}})
    assert list(items(["qdrant://h/docs"], how(client, text="body", id="sku"))) == [
        Inline("x-1", "hello", {"text": "kept"}),
        Inline("2", "again", {}),
    ]


def test_a_point_without_anything_to_embed_is_named_and_stops_no_other(client):
    put(client, {1: {"body": "x"}, 2: {"text": 7}, 3: {"text": "ok"}, 4: {"text": "a", "url": "https://e.com"}, 5: {}})
    *bad, _ = said = sorted(items(["qdrant://h/docs"], how(client)), key=lambda one: isinstance(one, Inline))
    assert [type(one) for one in said] == [BadManifest] * 4 + [Inline]
    assert "qdrant://h/docs, point 1: " in str(bad[0])
    assert "its payload has body: name the field, as in --column text=FIELD" in str(bad[0])


def test_thousands_are_read_a_page_at_a_time_and_counted(client, monkeypatch):
    monkeypatch.setattr(payloads, "BATCH", 7)
    put(client, {at: {"text": f"text {at}"} for at in range(50)})
    [source] = sources(["qdrant://h/docs"], how(client))
    assert source.count() == 50
    assert {one.external_id for one in items(["qdrant://h/docs"], how(client)) if isinstance(one, Inline)} == {
        str(at) for at in range(50)
    }


def test_a_collection_that_is_not_there_is_told_with_those_that_are(client):
    with pytest.raises(NoSuchCollection, match="no collection 'nope'; it has docs"):
        list(ServerPayloads(client, "nope"))
    with pytest.raises(NoSuchCollection):
        len(ServerPayloads(client, "nope"))


def test_an_address_names_server_and_collection():
    assert address("qdrant://h:6333/my%20docs") == ("http://h:6333", "my docs")
    assert address("qdrants://h/docs") == ("https://h", "docs")
    assert columns_of({"text": "body"}) == Columns(text="body")
    for wrong in ({"texts": "a"}, {"text": ""}):
        with pytest.raises(BadQuery):
            columns_of(wrong)
