"""Reindexing through both doors: the embedded facade and a server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
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

Door = Quiver | RemoteQuiver
ANN = Tenant("ann")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = opened(tmp_path / "data", MemoryStore(), profiles="turned,wide")
    yield made
    made.close()


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield Quiver(parts, tenant=ANN, owner=ANN)
    else:
        with serving(parts) as base, Quiver.connect(base, key_for(parts, ANN)) as remote:
            yield remote


@pytest.fixture
def filled(door: Door) -> Door:
    door.create("c")
    for name, text in (("red", "red red"), ("green", "green")):
        door.add("c", text=text, id=name, metadata={"year": 1999})
    door.wait("c", timeout=20)
    return door


def test_a_collection_is_reindexed_and_back_again(filled: Door) -> None:
    planned = filled.reindex_plan("c", profile="turned")
    assert (planned.profile, planned.copied, planned.embedded) == ("turned", ("words",), ("colour",))
    assert (planned.assets, planned.sample.assets, planned.nothing, planned.storage) == (2, 2, False, Storage())
    seen: list[Any] = []
    built = filled.reindex("c", profile="turned", on_progress=seen.append)
    assert built.coming is not None
    assert (built.coming.index.state, built.lacks, built.paused) == (IndexState.VERIFYING, 0, False)
    assert {check["name"] for check in built.checks} >= {"coverage", "sample", "recall"}
    assert (seen[-1].done, seen[-1].total, seen[-1].built) == (2, 2, True)
    verdict = filled.reindex_verify("c", sample=2, queries=["red"], overlap=0.5)
    assert verdict.passed, verdict
    assert [(one.index.profile, one.index.state) for one in filled.reindex_switch("c").kept] == [
        ("toy", IndexState.SOAKING)
    ]
    assert filled.status("c")[0].encoders == {"colour": "turned", "words": "toy"}
    assert filled.search("c", "red").hits[0].external_id == "red"
    back = filled.reindex_rollback("c", reason="it was worse")
    assert (back.serving.index.profile, back.serving.note) == ("toy", "rolled back: it was worse")
    assert len(filled.reindex_retire("c")) == 1
    assert filled.reindex_status("c").kept == ()


def test_fields_and_storage_are_changed_and_what_is_not_said_stays(filled: Door) -> None:
    said = filled.reindex("c", fields=["year=integer"], storage={"quantization": "scalar", "m": 8}, switch=True)
    assert said.serving.index.storage == Storage.from_dict({"quantization": "scalar", "m": 8})
    assert len(filled.search("c", "red", where="year = 1999").hits) == 2
    filled.reindex_retire("c")
    assert filled.reindex_plan("c", drop_fields=["year"]).fields_dropped == ("year",)
    spaces = filled.reindex("c", spaces=["colour"], drop_fields=["year"], switch=True).serving.index.spaces
    assert [space.name for space in spaces] == ["colour"]


def test_a_build_is_paused_resumed_and_given_up(filled: Door) -> None:
    began = filled.reindex_start("c", profile="turned", rate=0.001)
    assert began.coming is not None
    assert began.coming.plan["rate"] == 0.001
    paused = filled.reindex_pause("c", reason="lunch")
    assert paused.coming is not None
    assert (paused.paused, paused.coming.plan["why_paused"]) == (True, "lunch")
    assert filled.reindex_resume("c", rate=0).paused is False
    done = filled.reindex_run("c")
    assert done.coming is not None
    assert done.coming.index.state is IndexState.VERIFYING
    assert filled.reindex_abort("c", reason="enough").kept[-1].note == "aborted: enough"
    with pytest.raises(Conflict, match="start it first"):
        filled.reindex_run("c")


def test_the_same_faults_come_from_both(filled: Door) -> None:
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
            filled.reindex_plan("c", **wish)
        with pytest.raises(BadQuery):
            filled.reindex_start("c", **wish)
    with pytest.raises(BadField, match="year: not declared"):
        filled.reindex_plan("c", drop_fields=["year"])
    with pytest.raises(TypeError):
        filled.reindex_plan("c", fast=True)
    with pytest.raises(Conflict, match="nothing would change"):
        filled.reindex_start("c")
    steps: list[Callable[[str], Any]] = [filled.reindex_verify, filled.reindex_switch, filled.reindex_pause]
    for step in (*steps, filled.reindex_resume, filled.reindex_abort):
        with pytest.raises(Conflict, match="start it first"):
            step("c")
    with pytest.raises(Conflict, match="none soaks"):
        filled.reindex_rollback("c")
    with pytest.raises(NoSuchCollection):
        filled.reindex_status("nowhere")


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
