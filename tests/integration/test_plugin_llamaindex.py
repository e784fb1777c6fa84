"""Quiver in LlamaIndex: nodes of text and pictures, in a query engine too."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from llama_index.core import get_response_synthesizer
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore

from core.errors import BadFilter, NoSuchAsset
from quiver import AssetView, Quiver
from quiver.plugins.llamaindex import QuiverRetriever
from tests.doubles import toy_parts
from tests.integration.plugged import PICTURES, filled, picture


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    with Quiver(toy_parts(tmp_path / "data")) as opened:
        yield filled(opened)


def names(nodes: list[NodeWithScore]) -> list[str]:
    return [each.node.metadata["_external_id"] for each in nodes]


def test_nodes_come_best_first_with_their_scores(quiver: Quiver) -> None:
    nodes = QuiverRetriever(quiver, "c", k=3, modality="text").retrieve("green rocket")
    hits = quiver.search("c", "green rocket", modality="text", limit=3).hits
    assert [each.score for each in nodes] == [hit.score for hit in hits]
    assert [each.node.node_id for each in nodes] == [str(hit.asset) for hit in hits]
    assert nodes[0].text == "a green rocket"
    assert nodes[0].node.metadata["price"] == 3


def test_a_filter_goes_through_and_a_bad_one_is_said(quiver: Quiver) -> None:
    assert sorted(names(QuiverRetriever(quiver, "c", where="price <= 2").retrieve("green"))) == ["cat.txt", "dog.txt"]
    with pytest.raises(BadFilter):
        QuiverRetriever(quiver, "c", where="colour = red").retrieve("green")


def test_a_picture_is_an_image_node_that_knows_where_its_bytes_lie(quiver: Quiver) -> None:
    [found] = QuiverRetriever(quiver, "c", k=1, modality="image").retrieve("red")
    node = found.node
    assert isinstance(node, ImageNode)
    assert (node.text, node.image_mimetype) == ("red.png", "image/png")
    assert node.image_path is not None
    assert Path(node.image_path).read_bytes() == picture(PICTURES["red.png"])


def test_a_picture_on_another_machine_is_in_its_node(quiver: Quiver, monkeypatch: pytest.MonkeyPatch) -> None:
    real = quiver.show

    def afar(collection: str, key: str | UUID) -> AssetView:
        return dataclasses.replace(real(collection, key), path=None)

    monkeypatch.setattr(quiver, "show", afar)
    [found] = QuiverRetriever(quiver, "c", k=1, modality="image").retrieve("red")
    node = found.node
    assert isinstance(node, ImageNode)
    assert node.image_path is None
    assert base64.b64decode(node.image or "") == picture(PICTURES["red.png"])


def test_a_picture_removed_since_it_was_found_is_a_node_without_bytes(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(collection: str, key: str | UUID) -> AssetView:
        raise NoSuchAsset

    monkeypatch.setattr(quiver, "show", gone)
    nodes = QuiverRetriever(quiver, "c", modality="image").retrieve("red")
    assert len(nodes) == 2
    assert all(isinstance(each.node, ImageNode) and each.node.image_path is None for each in nodes)


def test_it_is_awaited_too(quiver: Quiver) -> None:
    retriever = QuiverRetriever(quiver, "c", k=3)
    assert names(asyncio.run(retriever.aretrieve("red"))) == names(retriever.retrieve("red"))


def test_a_language_model_reads_the_text_and_the_assets_metadata_only(quiver: Quiver) -> None:
    [found] = QuiverRetriever(quiver, "c", k=1, where="price = 1").retrieve("red cat")
    assert found.node.get_content(MetadataMode.LLM) == "price: 1\n\na red cat"


def test_a_query_engine_answers_from_what_was_found(quiver: Quiver) -> None:
    retriever = QuiverRetriever(quiver, "c", k=1, modality="text")
    engine = RetrieverQueryEngine(retriever, get_response_synthesizer(llm=MockLLM()))
    answer = engine.query("green rocket")
    assert names(answer.source_nodes) == ["rocket.txt"]
    assert "a green rocket" in str(answer)
