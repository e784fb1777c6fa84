"""Reindexing through the doors: the facade, the command line, the embedded worker and the task of the workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import BadField, Conflict, Forbidden
from core.records import IndexState
from core.types import Tenant
from quiver import Quiver
from quiver.cli import app as cli
from quiver.cli import reindex as commands
from tests.doubles import ColourEncoder
from tests.flow.reindexed import embedded, families, put
from workers import rebuilding, service, tasks


@pytest.fixture
def quiver(tmp_path: Path) -> Quiver:
    made = embedded(tmp_path / "data")
    put(made, {"red": "red red", "green": "green"}, metadata={"year": 1999})
    return Quiver(made)


def test_a_collection_is_reindexed_in_one_call_with_progress(quiver: Quiver) -> None:
    seen: list[Any] = []
    assert quiver.reindex_plan("c", profile="turned").embedded == ("colour",)
    said = quiver.reindex("c", profile="turned", switch=True, on_progress=seen.append)
    assert (said.serving.index.profile, said.coming) == ("turned", None)
    assert (seen[-1].done, seen[-1].total, seen[-1].built) == (2, 2, True)
    assert quiver.status("c")[0].encoders == {"colour": "turned", "words": "toy"}
    assert quiver.search("c", "red").hits[0].external_id == "red"
    assert quiver.reindex_rollback("c").serving.index.profile == "toy"
    assert len(quiver.reindex_retire("c")) == 1
    with pytest.raises(Conflict, match="nothing would change"):
        quiver.reindex("c")
    assert quiver.reindex("c", anew=True).checks


def test_fields_are_added_and_dropped_by_name(quiver: Quiver) -> None:
    with pytest.raises(BadField, match="size: not declared"):
        quiver.reindex_plan("c", drop_fields=["size"])
    quiver.reindex("c", fields=["year=integer"], storage={"quantization": "scalar"}, switch=True)
    assert [hit.external_id for hit in quiver.search("c", "red", where="year = 1999").hits] != []
    quiver.reindex_retire("c")
    quiver.reindex("c", drop_fields=["year"], switch=True)
    assert quiver.status("c")[0].fields == {}
    assert quiver.reindex_status("c").serving.index.storage.quantization == "scalar", "what is not said stays"


def test_a_tenant_does_not_reindex_what_is_there_for_all(quiver: Quiver) -> None:
    theirs = Quiver(quiver._parts, tenant=Tenant("one"), owner=Tenant("one"))
    with pytest.raises(Forbidden):
        theirs.reindex("c", profile="turned")
    theirs.create("own")
    assert theirs.reindex("own", profile="turned").coming is not None


def test_the_commands_say_all_of_it(quiver: Quiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Quiver, "open", lambda *_, **__: quiver)
    monkeypatch.setattr(Quiver, "close", lambda _: None)
    runner = CliRunner()

    def run(*words: str, code: int = 0) -> str:
        said = runner.invoke(commands.reindex, words)
        assert said.exit_code == code, said.output
        return said.output

    assert cli.app is not None
    assert json.loads(run("plan", "c", "--profile", "turned", "--json"))["embedded"] == ["colour"]
    assert "embedded" in run("plan", "c", "--profile", "turned")
    assert "FAILED" not in run("start", "c", "--profile", "turned")
    (queries := tmp_path / "q.jsonl").write_text('{"id": "1", "text": "red"}')
    (qrels := tmp_path / "r.tsv").write_text("1 0 red 1")
    given = ("--queries", str(queries), "--qrels", str(qrels), "--budget", "0.5")
    assert "nDCG@10 of 1 queries is 1.000, and was 1.000" in " ".join(run("verify", "c", *given).split())
    assert json.loads(run("verify", "c", "--json", "-q", "red"))["passed"]
    assert json.loads(run("status", "c", "--json"))["coming"]["index"]["state"] == "verifying"
    run("switch", "c")
    assert "rolled back: it was worse" in run("rollback", "c", "--force", "it was worse")
    run("retire", "c")
    run("start", "c", "--profile", "wide", "--background", "--rate", "7")
    assert "7/s at most" in run("start", "c", "--profile", "wide", "--background")
    assert "9/s at most" in run("start", "c", "--profile", "wide", "--background", "--rate", "9")
    assert "at most" not in run("start", "c", "--profile", "wide", "--background", "--rate", "0")
    said = run("pause", "c", "--reason", "lunch")
    assert "paused: lunch; `quiver reindex resume` goes on" in " ".join(said.split())
    assert "would be lost" not in said, "a build lacks what it has not come to"
    run("resume", "c")
    assert "aborted: enough" in run("abort", "c", "--reason", "enough")


def test_a_plan_for_people_says_how_vectors_would_be_kept_and_what_disk_is_free(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quiver, "open", lambda *_, **__: quiver)
    monkeypatch.setattr(Quiver, "close", lambda _: None)

    def run(*words: str) -> str:
        said = CliRunner().invoke(commands.reindex, ["plan", "c", *words], env={"COLUMNS": "200"})
        assert said.exit_code == 0, said.output
        return " ".join(said.output.split())

    free = quiver.reindex_plan("c", profile="turned").free
    assert free is not None
    said = run("--quantization", "scalar", "--m", "32", "--on-disk")
    assert "quantization scalar (was none), m 32 (was 16), on_disk True (was False)" in said
    assert "ef_construct" not in said, "what stays is not said"
    assert "MB free" in said
    assert "storage" not in run("--profile", "turned")
    monkeypatch.setattr("workers.wishes.Parts.room", lambda _: 100)
    assert "0.0 MB free: NOT ENOUGH" in run("--profile", "turned")
    monkeypatch.setattr("workers.wishes.Parts.room", lambda _: None)
    assert "free" not in run("--profile", "turned"), "a server does not say"


def test_a_tenant_is_not_told_of_the_machine_s_disk(quiver: Quiver) -> None:
    theirs = Quiver(quiver._parts, tenant=Tenant("one"), owner=Tenant("one"))
    theirs.create("own")
    assert theirs.reindex_plan("own", profile="turned").free is None


def test_the_embedded_worker_builds_what_was_started(quiver: Quiver) -> None:
    quiver.reindex_start("c", profile="turned")
    stopping = threading.Event()
    worker = threading.Thread(target=service.serve, args=(quiver._parts, stopping), kwargs={"every": 0.01})
    worker.start()
    for _ in range(1000):
        coming = quiver.reindex_status("c").coming
        if coming is not None and coming.index.state is IndexState.VERIFYING:
            break
        stopping.wait(0.02)
    stopping.set()
    worker.join()
    assert quiver.reindex_verify("c").passed


def test_the_task_builds_a_while_and_sends_another_message(quiver: Quiver, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    queues: dict[str, int] = {"live": 1}
    monkeypatch.setattr(tasks, "parts", lambda: quiver._parts)
    monkeypatch.setattr(tasks, "make_app", lambda _: None)
    monkeypatch.setattr(tasks, "waiting", lambda _, queue: queues.get(queue, 0))
    monkeypatch.setattr(tasks, "enqueue_reindex", lambda _, name: sent.append(name))
    quiver.reindex_start("c", profile="turned")
    assert rebuilding.being_built(quiver._parts) == ["c"]
    tasks.reindex_a_while("c")
    assert (sent, quiver.reindex_status("c").lacks) == (["c"], 2), "live work waits: it goes before"
    queues.clear()
    tasks.reindex_a_while("c")
    assert (sent, quiver.reindex_status("c").lacks) == (["c"], 0)
    quiver.reindex_abort("c")
    tasks.reindex_a_while("c")
    assert sent == ["c"], "it was given up: no message goes round for ever"


@pytest.fixture
def nightly(quiver: Quiver, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The script of the page."""
    page = (Path(__file__).parents[2] / "docs" / "admin.md").read_text()
    script = page.partition("<!-- nightly.py -->\n```python\n")[2].partition("```")[0]
    monkeypatch.setattr(Quiver, "open", lambda *_, **__: quiver)
    monkeypatch.setattr(Quiver, "close", lambda _: None)
    return lambda: exec(script, {})  # it is ours


@pytest.fixture
def newer(quiver: Quiver, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has a model become another."""
    real = ColourEncoder.__init__

    def init(self: ColourEncoder) -> None:
        real(self)
        self.space = replace(self.space, revision="2")

    def become() -> None:
        monkeypatch.setattr(ColourEncoder, "__init__", init)
        quiver._parts.encoders.__init__(families())  # type: ignore[misc]  # another start of the process

    return become


def test_the_nightly_script_of_the_page_runs_twice(
    quiver: Quiver, nightly: Callable[[], None], newer: Callable[[], None]
) -> None:
    before = quiver._parts.catalogue.serving("c").id
    nightly()
    assert quiver._parts.catalogue.serving("c").id == before, "no model has changed"
    newer()
    nightly()
    assert quiver._parts.catalogue.serving("c").spaces[0].revision == "2"
    assert quiver.search("c", "red").hits[0].external_id == "red"


def test_the_nightly_script_of_the_page_brings_no_dropped_space_back(
    quiver: Quiver, nightly: Callable[[], None], newer: Callable[[], None]
) -> None:
    quiver.reindex("c", spaces=["colour"], switch=True)
    before = quiver._parts.catalogue.serving("c").id
    nightly()
    assert quiver._parts.catalogue.serving("c").id == before, "no model has changed"
    newer()
    nightly()
    [space] = quiver._parts.catalogue.serving("c").spaces
    assert (space.name, space.revision) == ("colour", "2")
    quiver.reindex_retire("c")
    assert quiver.reindex_plan("c", spaces=["colour", "words"]).embedded == ("words",), "who wants it back says so"
    assert quiver.reindex_plan("c", profile="hearing").embedded == ("words", "pitch"), "another profile comes whole"
