"""Recommendation over the embedded facade and over HTTP: a program does not tell them apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadFilter, BadQuery, NoSuchCollection
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving

Door = Quiver | RemoteQuiver
COLOUR: dict[str, Any] = {"weights": {"words": 0.0}}


@pytest.fixture(params=["embedded", "http"], scope="module")
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """With texts from red to blue by steps, r0 the reddest."""
    parts = toy_parts(tmp_path_factory.mktemp("data"))
    try:
        if request.param == "embedded":
            yield filled(Quiver(parts))
        else:
            with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
                yield filled(remote)
    finally:
        parts.close()


def filled(door: Any) -> Door:
    door.create("c", fields={"brand": "keyword", "when": "datetime"})
    texts = [" ".join(["red"] * (8 - at) + ["blue"] * at) for at in range(8)]
    added = [
        door.add("c", text=text, id=f"r{at}", metadata={"brand": "ab"[at % 2], "when": f"2026-01-0{at + 1}"})
        for at, text in enumerate(texts)
    ]
    door.wait("c", *[one.id for one in added], timeout=30)
    made: Door = door
    return made


def names(made: Any) -> list[str]:
    return [hit.external_id for hit in made.hits]


def test_what_is_liked_and_seen_decides_and_reasons_are_given(door: Door, tmp_path: Path) -> None:
    made = door.recommend("c", ["r0"], limit=3, seen=["r1"], **COLOUR)
    assert names(made) == ["r2", "r3", "r4"]
    assert made.items[0].because is not None
    assert (made.items[0].because.example, made.items[0].because.space) == ("r0", "colour")
    (tmp_path / "seen").write_text("r1\n\nr2\n")
    assert names(door.recommend("c", ["r0"], limit=1, seen=tmp_path / "seen", **COLOUR)) == ["r3"]
    words = {"text": "blue", "weight": 2, "when": "2026-01-01"}
    assert names(door.recommend("c", [words], limit=1, half_life="7d", **COLOUR)) == ["r7"]
    vector = {"vector": {"space": "colour", "values": [0, 0, 1, 0]}}
    assert names(door.recommend("c", [vector], ["r0"], strategy="best", limit=1, **COLOUR)) == ["r7"]
    history: list[Any] = [("r0", 1, "2020-01-01"), ["r7", 1.0, "2026-01-01"], {"like": "r3", "weight": 0}]
    assert names(door.recommend("c", history=history, half_life="30d", limit=1, **COLOUR)) == ["r6"]


def test_filters_quotas_pages_and_fallbacks_are_the_same(door: Door) -> None:
    assert names(door.recommend("c", ["r0"], limit=2, where="brand = b", **COLOUR)) == ["r1", "r3"]
    made = door.recommend("c", ["r0"], limit=2, quota={"brand": 1}, **COLOUR)
    assert names(made) == ["r1", "r2"]
    assert made.page is not None
    after = door.recommend("c", ["r0"], limit=2, quota={"brand": 1}, page=made.page, **COLOUR)
    assert names(after) == ["r3", "r4"]
    fresh = door.recommend("c", ["r0"], limit=1, freshness="when:1d", shares={"brand": {"a": 1.0}}, **COLOUR)
    assert fresh.hits[0].metadata["brand"] == "a"
    assert fresh.items[0].freshness is not None
    cold = door.recommend("c", ["nobody"], limit=2, fallback="recent:when")
    assert (names(cold), cold.unknown, cold.fallback) == (["r7", "r6"], ("nobody",), "recent:when")


def test_many_people_are_answered_in_order_and_what_is_wrong_is_told_of_one(door: Door) -> None:
    users: list[dict[str, Any]] = [{"user": f"u{at}", "positives": [f"r{at % 8}"]} for at in range(70)]
    users[3] = {"user": "bad", "positives": ["r0"], "where": "votes = 1"}
    users[4] = {"user": "odd", "likes": ["r0"]}
    users[5] = {"positives": ["r0"]}
    feeds = list(door.recommend_many("c", iter(users), limit=2, **COLOUR))
    assert [feed.number for feed in feeds] == list(range(1, 71))
    assert [feed.user for feed in feeds[:5]] == ["u0", "u1", "u2", "bad", "odd"]
    assert [type(feed.fault) for feed in feeds[3:6]] == [BadFilter, BadQuery, BadQuery]
    for at, feed in enumerate(feeds):
        if at not in (3, 4, 5):
            assert feed.recommendation is not None
            assert len(feed.recommendation.hits) == 2
            assert f"r{at % 8}" not in names(feed.recommendation)


def test_what_is_wrong_is_said(door: Door) -> None:
    for wrong in (
        {"strategy": "worst"},
        {"half_life": "soon"},
        {"fallback": "oldest"},
        {"freshness": "brand:7d"},
        {"quota": {"votes": 1}},
        {"page": "x"},
        {"limit": 0},
        {"rerank": ["nothing"]},
    ):
        with pytest.raises(BadQuery):
            door.recommend("c", ["r0"], **wrong)
    with pytest.raises(BadQuery):
        door.recommend("c", [{"text": "red", "like": "r0"}])
    with pytest.raises(BadQuery, match="negatives is 'r1': give a list of examples"):
        door.recommend("c", ["r0"], "r1")
    with pytest.raises(BadQuery, match="limit is None: give a whole number"):
        door.recommend("c", ["r0"], limit=None)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(BadQuery, match="no moment"):
        door.recommend("c", history=[["r0", 1, "0001-01-01T00:00:00+14:00"]])
    with pytest.raises(NoSuchCollection):
        door.recommend("nowhere", ["r0"])
    with pytest.raises((NoSuchCollection, BadQuery)):
        list(door.recommend_many("nowhere", [{"user": "u"}]))
    with pytest.raises(BadQuery):
        door.recommend_many("c", [], likes=3)
