"""Quiver in Haystack: a component of a pipeline that is run, saved and read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.encoders import registry
from core.errors import BadFilter, Misconfigured
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving
from tests.integration.plugged import filled
from tests.integration.test_cli import Toy

with pytest.MonkeyPatch.context() as _quiet:
    _quiet.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")  # read when it is imported
    import haystack.telemetry._telemetry as telemetry
    from haystack import Document, Pipeline
    from haystack.components.builders import PromptBuilder
    from haystack.core.errors import PipelineRuntimeError
    from haystack.utils import Secret

    from quiver.plugins.haystack import QuiverRetriever


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what is searched, that anybody may open."""
    with Quiver(toy_parts(tmp_path / "data")) as quiver:
        filled(quiver)
    monkeypatch.setattr(registry, "families", lambda: {"toy": Toy()})
    return tmp_path / "data"


@pytest.fixture
def quiver(data: Path) -> Iterator[Quiver]:
    with Quiver.open(data) as opened:
        yield opened


def names(documents: list[Document]) -> list[str]:
    return [document.meta["_external_id"] for document in documents]


def test_no_test_tells_anybody_that_it_ran() -> None:
    assert telemetry.telemetry is None


def test_a_document_is_the_passage_that_matched(quiver: Quiver) -> None:
    [document] = QuiverRetriever("c", door=quiver, top_k=1, modality="text").run("green rocket")["documents"]
    hit = quiver.search("c", "green rocket", modality="text").hits[0]
    assert (document.id, document.content, document.score) == (str(hit.asset), "a green rocket", hit.score)
    assert (document.meta["price"], document.meta["_modality"]) == (3, "text")


def test_filters_and_top_k_of_a_run_win(quiver: Quiver) -> None:
    retriever = QuiverRetriever("c", door=quiver, filters="price = 1", top_k=5)
    assert names(retriever.run("red")["documents"]) == ["cat.txt"]
    assert set(names(retriever.run("red", filters="price > 4")["documents"])) == {"red.png", "blue.png"}
    assert len(retriever.run("red", filters="price > 1", top_k=2)["documents"]) == 2
    with pytest.raises(BadFilter):
        retriever.run("red", filters="colour = red")


def test_a_pipeline_finds_saves_and_finds_again(data: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", QuiverRetriever("c", data=str(data), top_k=1, modality="text"))
    pipeline.add_component("prompt", PromptBuilder("{{ documents[0].content }}: {{ query }}", required_variables="*"))
    pipeline.connect("retriever.documents", "prompt.documents")
    asked = {"retriever": {"query": "green rocket"}, "prompt": {"query": "what?"}}
    assert pipeline.run(asked)["prompt"]["prompt"] == "a green rocket: what?"
    pipeline.close()

    saved = pipeline.dumps()
    again = Pipeline.loads(saved, allowed_modules=["quiver.plugins.haystack"])
    assert again.dumps() == saved
    assert again.run(asked)["prompt"]["prompt"] == "a green rocket: what?"
    again.close()
    with Quiver.open(data) as quiver:  # nobody holds the folder any more
        assert quiver.search("c", "red").hits


def test_a_pipeline_over_a_server_keeps_the_name_of_its_key_and_not_the_key(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(toy_parts(data, tenant="ann")) as parts, serving(parts) as url:
        key = key_for(parts, "ann")
        with RemoteQuiver(url, key) as ann:
            filled(ann, "hers")
        monkeypatch.setenv("ANNS_KEY", key)
        pipeline = Pipeline()
        made = QuiverRetriever("hers", url=url, api_key=Secret.from_env_var("ANNS_KEY"), top_k=1, modality="text")
        pipeline.add_component("retriever", made)
        saved = pipeline.dumps()
        assert "ANNS_KEY" in saved
        assert key not in saved
        again = Pipeline.loads(saved, allowed_modules=["quiver.plugins.haystack"])
        [document] = again.run({"retriever": {"query": "green rocket"}})["retriever"]["documents"]
        assert document.content == "a green rocket"
        again.close()
        monkeypatch.setenv("ANNS_KEY", key_for(parts, "bob"))
        with pytest.raises(PipelineRuntimeError, match="hers"):
            again.run({"retriever": {"query": "green rocket"}})
        again.close()


def test_what_was_said_is_what_is_saved(data: Path) -> None:
    made = QuiverRetriever("c", data=str(data), filters="price > 1", modality="image", top_k=3)
    saved = made.to_dict()
    assert saved["init_parameters"] == {
        "collection": "c",
        "data": str(data),
        "url": None,
        "api_key": None,
        "filters": "price > 1",
        "modality": "image",
        "top_k": 3,
    }
    assert QuiverRetriever.from_dict(saved).to_dict() == saved


def test_an_open_door_is_used_not_saved_and_not_closed(quiver: Quiver) -> None:
    retriever = QuiverRetriever("c", door=quiver)
    retriever.warm_up()
    retriever.close()
    assert quiver.search("c", "red").hits
    with pytest.raises(Misconfigured, match="data"):
        retriever.to_dict()


def test_a_retriever_needs_one_place_to_look(quiver: Quiver) -> None:
    for data, url, door in ((None, None, None), ("x", None, quiver), ("x", "http://127.0.0.1:1", None)):
        with pytest.raises(Misconfigured, match="one of"):
            QuiverRetriever("c", data=data, url=url, door=door)
