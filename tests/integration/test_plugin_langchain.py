"""Quiver in LangChain: a retriever in a chain, and a vector store that does what LangChain's own tests ask of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from core.errors import BadFilter, BadQuery, Refused, Unavailable
from core.records import State
from quiver import Quiver
from quiver.plugins.door import Door, passage
from quiver.plugins.langchain import QuiverRetriever, QuiverVectorStore
from tests.doubles import toy_parts
from tests.integration.plugged import filled


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    with Quiver(toy_parts(tmp_path / "data")) as opened:
        yield opened


@pytest.fixture
def store(quiver: Quiver) -> QuiverVectorStore:
    quiver.create("s", fields={"n": "integer"})
    return QuiverVectorStore(quiver, "s")


def said(documents: list[Document]) -> list[tuple[str | None, str]]:
    return [(document.id, document.page_content) for document in documents]


def test_the_embedded_facade_is_a_door(quiver: Quiver) -> None:
    assert isinstance(quiver, Door)


def test_a_chain_answers_from_the_document_that_matches(quiver: Quiver) -> None:
    retriever = QuiverRetriever(door=filled(quiver), collection="c", k=1, modality="text")
    prompts: list[str] = []

    def joined(documents: list[Document]) -> str:
        prompts.append(documents[0].page_content)
        return prompts[0]

    chain = (
        {"context": retriever | RunnableLambda(joined), "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}: {question}")
        | FakeListChatModel(responses=["answered"])
        | StrOutputParser()
    )
    assert chain.invoke("rocket green") == "answered"
    assert prompts == ["a green rocket"]


def test_a_document_carries_the_assets_metadata_and_what_is_known_of_the_hit(quiver: Quiver) -> None:
    [document] = QuiverRetriever(door=filled(quiver), collection="c", k=1, where="price = 1").invoke("red cat")
    asset = quiver.show("c", "cat.txt").asset
    score = quiver.search("c", "red cat", where="price = 1").hits[0].score
    assert document.id == "cat.txt"
    assert document.page_content == "a red cat"
    assert document.metadata == {
        "price": 1,
        "_id": str(asset.id),
        "_external_id": "cat.txt",
        "_collection": "c",
        "_modality": "text",
        "_media_type": "text/plain",
        "_score": score,
        "_span": {"start": 0, "end": 9, "unit": "char"},
    }


def test_a_picture_is_found_by_words_and_called_by_its_name(quiver: Quiver) -> None:
    [document] = QuiverRetriever(door=filled(quiver), collection="c", k=1, modality="image").invoke("blue")
    assert (document.id, document.page_content) == ("blue.png", "blue.png")
    assert (document.metadata["_modality"], document.metadata["_media_type"]) == ("image", "image/png")


def test_a_long_text_is_found_by_the_whole_passage_that_matches(quiver: Quiver) -> None:
    text = "\ufeff" + " ".join(["a blue dog."] * 400 + ["a green rocket."] * 100 + ["red coffee."] * 400)
    quiver.add("c", text=text, id="long")
    [document] = QuiverRetriever(door=quiver, collection="c", k=1).invoke("green rocket")
    span = document.metadata["_span"]
    quoted = quiver.search("c", "green rocket").hits[0].text or ""
    assert "green rocket" in document.page_content
    assert document.page_content == text[1:][span["start"] : span["end"]]
    assert len(quoted) < len(document.page_content) < len(text)


def test_a_passage_replaced_or_removed_since_it_was_found_is_what_was_found(quiver: Quiver) -> None:
    for name, after in (("gone", None), ("new", "blue " * 1000)):
        quiver.add("c", text="green rocket " * 500, id=name)
        hit = next(hit for hit in quiver.search("c", "green rocket").hits if hit.external_id == name)
        if after is None:
            quiver.remove("c", name)
        else:
            quiver.add("c", text=after, id=name)
        assert passage(quiver, "c", hit) == hit.text


def test_the_retriever_filters_and_is_awaited_too(quiver: Quiver) -> None:
    retriever = QuiverRetriever(door=filled(quiver), collection="c", k=10, where="price >= 2 and price < 4")
    assert {document.id for document in retriever.invoke("red")} == {"dog.txt", "rocket.txt"}
    assert asyncio.run(retriever.ainvoke("red")) == retriever.invoke("red")
    with pytest.raises(BadFilter, match="not a declared field"):
        QuiverRetriever(door=quiver, collection="c", where="colour = red").invoke("red")


def test_added_texts_are_found_at_once_and_called_as_they_were(store: QuiverVectorStore) -> None:
    assert store.add_texts(["red", "blue"], [{"n": 1}, {"n": 2}], ids=["1", "2"]) == ["1", "2"]
    assert said(store.similarity_search("blue", k=1)) == [("2", "blue")]
    assert store.similarity_search("blue", k=1)[0].metadata["n"] == 2


def test_documents_without_ids_get_ids_by_which_they_are_found(store: QuiverVectorStore) -> None:
    documents = [Document(page_content="red"), Document(page_content="blue"), Document(page_content="red")]
    ids = store.add_documents(documents)
    assert len(ids) == 3
    assert ids[0] == ids[2]
    assert said(store.get_by_ids(ids[:2])) == list(zip(ids, ["red", "blue"], strict=False))


def test_documents_may_have_ids_in_part(store: QuiverVectorStore) -> None:
    first, second = store.add_documents([Document(id="mine", page_content="red"), Document(page_content="blue")])
    assert first == "mine"
    assert said(store.get_by_ids([second])) == [(second, "blue")]


def test_adding_nothing_is_nothing(store: QuiverVectorStore) -> None:
    assert store.add_texts([]) == []
    assert store.add_documents([]) == []
    assert store.similarity_search("red") == []


def test_adding_twice_is_adding_once(store: QuiverVectorStore) -> None:
    for _ in range(2):
        store.add_texts(["red", "blue"], ids=["1", "2"])
    assert sorted(said(store.similarity_search("red"))) == [("1", "red"), ("2", "blue")]


def test_a_document_of_an_id_that_is_there_replaces_it(store: QuiverVectorStore) -> None:
    store.add_texts(["red", "blue"], [{"n": 1}, {"n": 2}], ids=["1", "2"])
    store.add_documents([Document(id="1", page_content="green", metadata={"n": 3})])
    assert said(store.similarity_search("green", k=1)) == [("1", "green")]
    assert {id_ for id_, _ in said(store.similarity_search("red", k=9))} == {"1", "2"}
    [document] = store.get_by_ids(["1"])
    assert (document.page_content, document.metadata["n"]) == ("green", 3)


def test_deleted_documents_are_gone_and_missing_ones_are_no_error(store: QuiverVectorStore) -> None:
    store.add_texts(["red", "blue", "green"], ids=["1", "2", "3"])
    assert store.delete(["1", "3", "nobody"]) is True
    assert said(store.similarity_search("red")) == [("2", "blue")]
    assert store.get_by_ids(["1", "3", "nobody"]) == []
    with pytest.raises(BadQuery, match="ids"):
        store.delete()
    assert len(store.similarity_search("red")) == 1


def test_get_by_ids_keeps_the_order_and_leaves_out_what_is_missing(store: QuiverVectorStore) -> None:
    store.add_texts(["red", "blue"], ids=["1", "2"])
    assert said(store.get_by_ids(["2", "nobody", "1"])) == [("2", "blue"), ("1", "red")]
    assert said(asyncio.run(store.aget_by_ids(["2"]))) == [("2", "blue")]


def test_what_was_found_can_be_put_in_again(store: QuiverVectorStore, quiver: Quiver) -> None:
    store.add_texts(["red"], [{"n": 1}], ids=["1"])
    before = quiver.show("s", "1").asset
    store.add_documents(store.similarity_search("red"))
    assert quiver.show("s", "1").asset == before


def test_scores_go_with_the_order_and_filters_go_through(store: QuiverVectorStore) -> None:
    store.add_texts(["red cat", "green", "blue"], [{"n": 1}, {"n": 2}, {"n": 3}], ids=["1", "2", "3"])
    pairs = store.similarity_search_with_score("red cat", k=3)
    scores = [score for _, score in pairs]
    assert pairs[0][0].id == "1"
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]
    assert [document.id for document in store.similarity_search("red", where="n > 2")] == ["3"]
    retriever = store.as_retriever(search_kwargs={"k": 2, "where": "n < 3"})
    assert {document.id for document in retriever.invoke("blue")} == {"1", "2"}


def test_what_cannot_be_meant_is_refused_and_not_passed_over(store: QuiverVectorStore) -> None:
    with pytest.raises(BadQuery, match="filter"):
        store.similarity_search("red", filter={"n": 1})
    with pytest.raises(BadQuery, match="as many"):
        store.add_texts(["red", "blue"], ids=["1"])
    with pytest.raises(BadQuery, match="threshold"):
        store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.5}).invoke("a")
    with pytest.raises(BadQuery, match="door"):
        QuiverVectorStore.from_texts(["red"])


def test_a_text_that_cannot_be_indexed_is_said_to_be_so(store: QuiverVectorStore, quiver: Quiver) -> None:
    with pytest.raises(Refused, match="'2' was not indexed"):
        store.add_texts(["red", "poison"], ids=["1", "2"])
    assert said(store.similarity_search("red")) == [("1", "red")]
    assert store.add_texts(["blue"], ids=["3"]) == ["3"]  # an older failure is not its own
    assert quiver.show("s", "2").state is State.FAILED


def test_adding_waits_until_workers_have_indexed(store: QuiverVectorStore, quiver: Quiver) -> None:
    quiver._woken = lambda: None  # workers, that are told and do nothing
    with pytest.raises(Unavailable, match="1 assets"):
        store.add_texts(["red"], ids=["1"], timeout=0)
    quiver.sweep()
    assert store.add_texts(["red"], ids=["1"], timeout=0) == ["1"]


def test_what_is_no_door_is_refused() -> None:
    with pytest.raises(ValueError, match="Door"):
        QuiverRetriever(door="quiver-data", collection="c")  # type: ignore[arg-type]  # that is the point


def test_a_store_is_made_from_texts(quiver: Quiver) -> None:
    store = QuiverVectorStore.from_texts(["red", "blue"], ids=["1", "2"], door=quiver, collection="made")
    assert said(store.similarity_search("red", k=1)) == [("1", "red")]
    documents = [Document(id="3", page_content="green")]
    theirs = DeterministicFakeEmbedding(size=3)  # not used: the collection has encoders of its own
    again = QuiverVectorStore.from_documents(documents, theirs, door=quiver, collection="made")
    assert said(again.similarity_search("green", k=1)) == [("3", "green")]


def test_async_twins_do_the_same(store: QuiverVectorStore) -> None:
    async def run() -> list[Document]:
        await store.aadd_texts(["red", "blue"], ids=["1", "2"])
        await store.adelete(["1"])
        return await store.asimilarity_search("red")

    assert said(asyncio.run(run())) == [("2", "blue")]
