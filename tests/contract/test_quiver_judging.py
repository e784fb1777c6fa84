"""Feedback by the embedded facade and over HTTP: what is recorded, what is kept of it, and who may judge."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from core.errors import BadQuery, NoSuchAsset, NoSuchCollection, NoSuchQuery
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import Tenant
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, png, serving
from workers.jobs import prune

Door = Quiver | RemoteQuiver
RED = (255, 0, 0)


def opened(tmp_path: Path, **settings: object) -> Parts:
    """The store is not what this is about."""
    parts = toy_parts(tmp_path / "data", **settings)
    parts.__dict__["store"] = MemoryStore()
    return parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = opened(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield filled(Quiver(parts))
    else:
        with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
            yield filled(remote)


def filled(door: Door) -> Door:
    door.create("c", fields={"price": "float"})
    door.add("c", text="red cat", id="a b", metadata={"price": 1})
    door.add("c", text="green dog", id="g")
    door.wait("c", timeout=20)
    return door


def asked(door: Door, **more: object) -> UUID:
    query = door.search("c", record=True, **more).query  # type: ignore[arg-type]  # as a test says
    assert query is not None
    return query


def test_a_search_is_recorded_where_it_says_so_and_otherwise_not(door: Door) -> None:
    assert door.search("c", "red").query is None
    assert door.search("c", "red", record=False).query is None
    one, other = asked(door, text="red"), asked(door, text="red")
    assert one != other
    many = door.search_many("c", [{"text": "red"}, {"text": "red", "record": True}])
    assert [answer.query is None for answer in many] == [True, False]


def test_verdicts_come_back_with_what_was_asked(door: Door) -> None:
    query = asked(door, text="red", where="price < 2", modality="text", less=["dog"])
    door.feedback("c", query, "a b", 3)
    door.feedback("c", str(query), "g", 0)
    for _ in range(2):
        door.feedback("c", query, "g")
    [said] = door.judgements("c")
    assert (said.query, dict(said.grades), said.lost) == (query, {"a b": 3, "g": 1}, ())
    assert said.said["text"] == "red"
    assert said.said["less"] == ["dog"]
    assert said.said["modality"] == ["text"]
    again = door.search("c", **said.said)  # what is kept can be asked again
    assert [hit.external_id for hit in again.hits] == ["a b"]


def test_of_a_file_and_a_vector_only_what_they_were_is_kept(door: Door) -> None:
    parts = [{"text": "red", "weight": 0.5}, {"image": png(RED)}, {"like": "a b", "weight": -0.5}]
    for query in (
        asked(door, image=png(RED)),
        asked(door, vector=("colour", [0.1, 0.9, 0.2, 0.3])),
        asked(door, mix=parts),
        asked(door, like="a b"),
    ):
        door.feedback("c", query, "g")
    digest = {"sha256": sha256(png(RED)).hexdigest()}
    asset = str(door.show("c", "a b").asset.id)
    assert sorted(((one.lost, dict(one.said)) for one in door.judgements("c")), key=str) == sorted(
        [
            (("image",), {"image": digest}),
            (("vector",), {"vector": {"space": "colour"}}),
            (
                ("image",),
                {
                    "mix": [
                        {"text": "red", "weight": 0.5},
                        {"image": digest, "weight": 1.0},
                        {"like": asset, "weight": -0.5},
                    ]
                },
            ),
            ((), {"like": asset}),
        ],
        key=str,
    )


def test_what_cannot_be_judged_is_refused(door: Door) -> None:
    query = asked(door, text="red")
    for wrong in (uuid4(), "no id", str(query)[:-1]):
        with pytest.raises(NoSuchQuery, match="record=true"):
            door.feedback("c", wrong, "g")
    with pytest.raises(NoSuchAsset):
        door.feedback("c", query, "nobody")
    with pytest.raises(NoSuchCollection):
        door.feedback("nowhere", query, "g")
    door.create("d")
    door.add("d", text="x", id="g")
    with pytest.raises(NoSuchQuery):
        door.feedback("d", query, "g")
    for grade in (-1, 101, 0.5, True, "1"):
        with pytest.raises(BadQuery, match="grade"):
            door.feedback("c", query, "g", grade)  # type: ignore[arg-type]  # that is what is wrong
    assert list(door.judgements("c")) == []


def test_pages_of_judgements_end(door: Door) -> None:
    made = {asked(door, text="red") for _ in range(5)}
    for query in made:
        door.feedback("c", query, "g")
    if isinstance(door, RemoteQuiver):
        first = door._wire.get("/v1/collections/c/feedback", limit=3)
        rest = door._wire.get("/v1/collections/c/feedback", limit=3, after=first["after"])
        assert (len(first["judgements"]), len(rest["judgements"]), rest["after"]) == (3, 2, None)
    assert {one.query for one in door.judgements("c")} == made


def test_the_settings_decide_where_a_search_says_nothing(tmp_path: Path) -> None:
    parts = opened(tmp_path, record_queries=True)
    quiver = filled(Quiver(parts))
    assert quiver.search("c", "red").query is not None
    assert quiver.search("c", "red", record=False).query is None
    parts.close()


def test_another_tenant_s_search_is_unknown(parts: Parts) -> None:
    one, other = (filled(Quiver(parts, tenant=Tenant(name))) for name in ("one", "other"))
    query = asked(one, text="red")
    with pytest.raises(NoSuchQuery):
        other.feedback("c", query, "g")
    one.feedback("c", query, "g")
    assert list(other.judgements("c")) == []


def test_what_is_recorded_is_there_for_another_process_and_gone_after_a_while(tmp_path: Path) -> None:
    parts = opened(tmp_path, query_retention_days=30)
    query = asked(filled(Quiver(parts)), text="red")
    parts.close()
    parts = opened(tmp_path, query_retention_days=30)
    quiver = Quiver(parts)
    quiver.feedback("c", query, "g")
    prune(parts)
    assert [one.query for one in quiver.judgements("c")] == [query]
    parts.close()
    parts = opened(tmp_path, query_retention_days=1e-9)
    prune(parts)
    assert list(Quiver(parts).judgements("c")) == []
    parts.close()
