"""Several queries at once over the embedded facade and over HTTP, which takes fewer in a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from core.errors import BadFilter, BadQuery, NoSuchAsset, Refused
from core.points import Found, Nearest
from core.records import Index
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from quiver import Quiver
from quiver.asking import IN_A_REQUEST, MOST_QUERIES
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving

Door = Quiver | RemoteQuiver
COLOURS = ("red", "green", "blue")
MANY = IN_A_REQUEST + 1  # the last is alone in its request
WRONG: dict[str, tuple[dict[str, Any], type[Refused], str]] = {
    "type": ({"less": "dog"}, BadQuery, "less is 'dog': give a list of texts"),
    "number": ({"limit": 0}, BadQuery, "limit"),
    "filter": ({"where": "nope = 1"}, BadFilter, "'nope' is not a declared field"),
    "group": ({"group_by": "nope"}, BadQuery, "'nope' is not a declared field to group by"),
    "weight": ({"weights": {"nope": 1}}, BadQuery, "no space 'nope'"),
    "space": ({"text": None, "vector": ("nope", [1.0])}, BadQuery, "no space 'nope'"),
    "vector": ({"text": None, "vector": ("colour", [1.0])}, BadQuery, "vector"),
    "asset": ({"text": None, "like": "nobody"}, NoSuchAsset, "nobody"),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = toy_parts(tmp_path_factory.mktemp("data"))
    made.__dict__["store"] = MemoryStore()
    yield made
    made.close()


@pytest.fixture(params=["embedded", "http"], scope="module")
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield filled(Quiver(parts), "here")
    else:
        with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
            yield filled(remote, "there")


def filled(door: Any, collection: str) -> Door:
    door.create(collection)
    door.wait(collection, *[door.add(collection, text=each, id=each).id for each in COLOURS], timeout=20)
    made: Door = door
    return made


def name(door: Door) -> str:
    return "here" if isinstance(door, Quiver) else "there"


def test_answers_come_in_order_and_in_one_round_trip_to_the_store_a_request(
    door: Door, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    search = parts.store.search

    def counted(index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        asked.append(len(queries))
        return search(index, queries)

    monkeypatch.setattr(parts.store, "search", counted)
    found = door.search_many(name(door), [{"text": COLOURS[at % 3], "limit": 1} for at in range(MANY)])
    assert [hit.external_id for answer in found for hit in answer.hits] == [COLOURS[at % 3] for at in range(MANY)]
    assert len(asked) == (1 if isinstance(door, Quiver) else 2)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_one_is_told_with_its_number(door: Door, wrong: str) -> None:
    more, fault, words = WRONG[wrong]
    for at in (3, MANY - 1):
        queries: list[dict[str, Any]] = [{"text": "red"} for _ in range(MANY)]
        queries[at] |= more
        with pytest.raises(fault) as caught:
            door.search_many(name(door), queries)
        assert str(caught.value).startswith(f"query {at}"), caught.value
        assert words in str(caught.value)
    with pytest.raises(fault, match=r"^(?!query 0)"):
        door.search_many(name(door), [{"text": "red"} | more])


def test_more_than_may_be_asked_at_once_and_what_is_no_list_are_refused(door: Door) -> None:
    for many in (0, MOST_QUERIES + 1):
        with pytest.raises(BadQuery, match=f"{many} queries: give 1 to 256"):
            door.search_many(name(door), [{"text": "red"}] * many)
    with pytest.raises(BadQuery, match=r"queries is .*: give a list of mappings"):
        door.search_many(name(door), {"text": "red"})  # type: ignore[arg-type]  # what is refused
