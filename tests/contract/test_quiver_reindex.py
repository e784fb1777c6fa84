"""Reindexing through both doors: the embedded facade and a server's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.errors import BadField, BadQuery, Conflict, Forbidden, NoSuchCollection
from core.records import IndexState, Storage
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import Tenant
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.flow.reindexed import opened
from tests.httpd import key_for, serving
from workers.reindex import Standing

Door = Quiver | RemoteQuiver
ANN = Tenant("ann")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = opened(tmp_path_factory.mktemp("reindex") / "data", MemoryStore(), profiles="turned,wide")
    yield made
    made.close()


@pytest.fixture(scope="module")
def remote(parts: Parts) -> Iterator[RemoteQuiver]:
    with serving(parts) as base, Quiver.connect(base, key_for(parts, ANN)) as made:
        yield made


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Door:
    if request.param == "embedded":
        return Quiver(parts, tenant=ANN, owner=ANN)
    made: RemoteQuiver = request.getfixturevalue("remote")
    return made


_names = (f"c{at}" for at in itertools.count())


@pytest.fixture
def name(parts: Parts) -> str:
    """Of a collection with two things in it."""
    quiver, made = Quiver(parts, tenant=ANN, owner=ANN), next(_names)
    quiver.create(made)
    for said, text in (("red", "red red"), ("green", "green")):
        quiver.add(made, text=text, id=said, metadata={"year": 1999})
    return made


def test_a_collection_is_reindexed_and_back_again(door: Door, name: str) -> None:
    planned = door.reindex_plan(name, profile="turned")
    assert (planned.profile, planned.copied, planned.embedded) == ("turned", ("words",), ("colour",))
    assert (planned.assets, planned.sample.assets, planned.nothing, planned.storage) == (2, 2, False, Storage())
    seen: list[Any] = []
    built = door.reindex(name, profile="turned", on_progress=seen.append)
    assert built.coming is not None
    assert (built.coming.index.state, built.lacks, built.paused) == (IndexState.VERIFYING, 0, False)
    assert {check["name"] for check in built.checks} >= {"coverage", "sample", "recall"}
    assert (seen[-1].done, seen[-1].total, seen[-1].built) == (2, 2, True)
    assert built.verified_at is not None
    assert built.verified_at > built.coming.created_at
    verdict = door.reindex_verify(name, sample=2, queries=["red"], overlap=0.5)
    assert verdict.passed, verdict
    queries = [{"id": "q1", "text": "red"}, {"id": "q2", "like": "green"}, {"id": "q3", "text": "blue"}]
    judged = door.reindex_verify(name, sample=2, judged=queries, qrels={"q1": {"red": 1}, "q2": {"red": 1}}, budget=0.2)
    assert judged.passed, judged
    assert "nDCG@10 of 2 queries" in judged.checks[-1].message
    assert [(one.index.profile, one.index.state) for one in door.reindex_switch(name).kept] == [
        ("toy", IndexState.SOAKING)
    ]
    assert door.status(name)[0].encoders == {"colour": "turned", "words": "toy"}
    assert door.search(name, "red").hits[0].external_id == "red"
    back = door.reindex_rollback(name, reason="it was worse")
    assert (back.serving.index.profile, back.serving.note) == ("toy", "rolled back: it was worse")
    assert len(door.reindex_retire(name)) == 1
    assert door.reindex_status(name).kept == ()


def test_fields_and_storage_are_changed_and_what_is_not_said_stays(door: Door, name: str) -> None:
    said = door.reindex(name, fields=["year=integer"], storage={"quantization": "scalar", "m": 8}, switch=True)
    assert said.serving.index.storage == Storage.from_dict({"quantization": "scalar", "m": 8})
    assert len(door.search(name, "red", where="year = 1999").hits) == 2
    door.reindex_retire(name)
    assert door.reindex_plan(name, drop_fields=["year"]).fields_dropped == ("year",)
    spaces = door.reindex(name, spaces=["colour"], drop_fields=["year"], switch=True).serving.index.spaces
    assert [space.name for space in spaces] == ["colour"]


def test_a_build_is_paused_resumed_and_given_up(door: Door, name: str) -> None:
    began = door.reindex_start(name, profile="turned", rate=0.001)
    assert began.coming is not None
    assert began.coming.plan["rate"] == 0.001
    paused = door.reindex_pause(name, reason="lunch")
    assert paused.coming is not None
    assert (paused.paused, paused.coming.plan["why_paused"]) == (True, "lunch")
    assert door.reindex_resume(name, rate=0).paused is False
    done = door.reindex_run(name)
    assert done.coming is not None
    assert done.coming.index.state is IndexState.VERIFYING
    assert door.reindex_abort(name, reason="enough").kept[-1].note == "aborted: enough"
    with pytest.raises(Conflict, match="start it first"):
        door.reindex_run(name)


def test_who_starts_again_says_another_rate_or_leaves_it(door: Door, name: str) -> None:
    def rate(said: Standing) -> float:
        assert said.coming is not None
        return float(said.coming.plan["rate"])

    assert rate(door.reindex_start(name, profile="turned", rate=0.001)) == 0.001
    assert rate(door.reindex_start(name, profile="turned")) == 0.001
    assert rate(door.reindex_start(name, profile="turned", rate=20)) == 20
    assert rate(door.reindex(name, profile="turned", rate=0)) == 0
    for step in (door.reindex_start, door.reindex_resume):
        with pytest.raises(BadQuery):
            step(name, rate=-1.0)
    door.reindex_abort(name)


def test_the_same_faults_come_from_both(door: Door, name: str) -> None:
    wishes: list[dict[str, Any]] = [
        {"storage": {"codes": 8}},
        {"storage": {"m": 3}},
        {"storage": {"m": 64, "ef_construct": 8}},
        {"storage": {"quantization": "half"}},
        {"storage": {"on_disk": 1}},
        {"spaces": ["smell"]},
        {"spaces": []},
    ]
    for wish in wishes:
        with pytest.raises(BadQuery):
            door.reindex_plan(name, **wish)
        with pytest.raises(BadQuery):
            door.reindex_start(name, **wish)
    for more in ({"judged": [{"id": "q", "text": "a"}]}, {"judged": [{"id": "q q"}], "qrels": {"q": {"red": 1}}}):
        with pytest.raises(BadQuery):
            door.reindex_verify(name, **more)
    for forced in (door.reindex_switch, door.reindex_rollback):
        for reason in ("", " "):
            with pytest.raises(BadQuery, match="reason is empty"):
                forced(name, reason=reason)
    with pytest.raises(BadField, match="year: not declared"):
        door.reindex_plan(name, drop_fields=["year"])
    with pytest.raises(TypeError):
        door.reindex_plan(name, fast=True)
    with pytest.raises(Conflict, match="nothing would change"):
        door.reindex_start(name)
    steps: list[Callable[[str], Any]] = [door.reindex_verify, door.reindex_switch, door.reindex_pause]
    for step in (*steps, door.reindex_resume, door.reindex_abort):
        with pytest.raises(Conflict, match="start it first"):
            step(name)
    with pytest.raises(Conflict, match="none soaks"):
        door.reindex_rollback(name)
    with pytest.raises(NoSuchCollection):
        door.reindex_status("nowhere")


def test_what_is_there_for_all_is_its_operator_s(door: Door, parts: Parts) -> None:
    Quiver(parts).create("shared")
    steps: list[Callable[[str], Any]] = [
        door.reindex_status,
        door.reindex_plan,
        door.reindex_start,
        door.reindex_retire,
    ]
    for step in steps:
        with pytest.raises(Forbidden, match="only its operator"):
            step("shared")
