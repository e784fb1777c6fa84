"""Search over HTTP, and embeddings and rerank as the clients of others ask for them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from core.runtime.wiring import Parts
from tests.httpd import found, key_for, png, settled

JSON = {"Content-Type": "application/json"}
SEARCH = "/v1/collections/c/search"
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def filled(http: httpx.Client) -> httpx.Client:
    """Three pictures and three texts, two with a price."""
    http.put("/v1/collections/c", json={"fields": {"price": "float"}}).raise_for_status()
    for n, (name, colour) in enumerate({"red": RED, "green": GREEN, "blue": BLUE}.items()):
        http.post("/v1/collections/c/assets", files=[("file", (f"{name}.png", png(colour)))]).raise_for_status()
        body = {"text": f"{name} thing", "id": f"{name}.txt", "metadata": {"price": n}}
        http.post("/v1/collections/c/assets", json=body).raise_for_status()
    assert settled(http, "c")["indexed"] == 6
    return http


def test_words_a_picture_and_an_asset_are_queries(filled: httpx.Client) -> None:
    assert set(found(filled, "c", "green")[:2]) == {"green.png", "green.txt"}
    picture = base64.b64encode(png(BLUE)).decode()
    for said in (picture, f"data:image/png;base64,{picture}"):
        hits = filled.post(SEARCH, json={"image": said, "modality": ["text"]}).json()["hits"]
        assert hits[0]["external_id"] == "blue.txt"
    hits = filled.post(SEARCH, json={"like": "red.png", "modality": ["text"]}).json()["hits"]
    assert hits[0]["external_id"] == "red.txt"
    hits = filled.post(SEARCH, json={"like": "red.png"}).json()["hits"]
    assert "red.png" not in {hit["external_id"] for hit in hits}


def test_a_filter_a_limit_and_exactness_are_kept_to(filled: httpx.Client) -> None:
    assert set(found(filled, "c", "red", where="price >= 1")) == {"green.txt", "blue.txt"}
    assert len(found(filled, "c", "red", limit=2)) == 2
    assert found(filled, "c", "red", exact=True) == found(filled, "c", "red")
    answer = filled.post(SEARCH, json={"text": "red"}).json()
    assert answer["encoders"] == {"colour": "toy", "words": "toy"}
    assert {"encode", "store", "fuse", "total"} <= answer["seconds"].keys()
    assert answer["hits"][0]["matches"]


BAD: list[tuple[dict[str, object], str]] = [
    ({}, "BadQuery"),
    ({"text": " "}, "BadQuery"),
    ({"mix": [{"text": "a", "like": "b"}]}, "BadQuery"),
    ({"mix": [{"text": "a", "weight": -1}]}, "BadQuery"),
    ({"mix": [{"text": "a", "weight": 0}]}, "BadQuery"),
    ({"less": ["a"]}, "BadQuery"),
    ({"vector": {"space": "nowhere", "values": [1.0]}}, "BadQuery"),
    ({"vector": {"space": "colour", "values": [1.0]}}, "BadQuery"),
    ({"text": "a", "offset": -1}, "BadQuery"),
    ({"text": "a", "offset": 9_999}, "BadQuery"),
    ({"text": "a", "min_score": 2}, "BadQuery"),
    ({"text": "a", "fusion": "sum"}, "BadQuery"),
    ({"text": "a", "weights": {"nowhere": 1}}, "BadQuery"),
    ({"text": "a", "rerank": ["nothing"]}, "BadQuery"),
    ({"text": "a", "rerank": ["mmr:lambda=2"]}, "BadQuery"),
    ({"text": "a", "rerank": [{"name": "x"}]}, "BadQuery"),
    ({"text": "a", "group_by": "colour"}, "BadQuery"),
    ({"text": "a", "limit": 0}, "BadQuery"),
    ({"text": "a", "limit": 1001}, "BadQuery"),
    ({"text": "a", "tenant": "other"}, "BadQuery"),
    ({"text": "a", "modality": ["smell"]}, "BadQuery"),
    ({"text": "a", "modality": []}, "BadQuery"),
    ({"text": "a", "where": "colour = red"}, "BadFilter"),
    ({"text": "a", "where": "price <"}, "BadFilter"),
    ({"text": "a", "where": "price = cheap"}, "BadFilter"),
    ({"text": "a", "where": "(" * 5000}, "BadFilter"),
    ({"text": "a", "where": "not " * 9000 + "price = 1"}, "BadFilter"),
    ({"image": "not base64!"}, "BadQuery"),
    ({"image": base64.b64encode(b"words").decode()}, "BadQuery"),
    ({"image": base64.b64encode(png(RED)[:40]).decode()}, "CorruptMedia"),
    ({"image": ""}, "EmptyMedia"),
]


@pytest.mark.parametrize(("body", "kind"), BAD)
def test_a_query_that_cannot_be_meant_says_why(http: httpx.Client, body: dict[str, object], kind: str) -> None:
    http.put("/v1/collections/c", json={"fields": {"price": "float"}}).raise_for_status()
    answer = http.post(SEARCH, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:quiver:fault:{kind}"), answer.text
    assert answer.json()["hint"]


def test_what_is_not_there_is_not_found(filled: httpx.Client) -> None:
    for path, body in ((SEARCH, {"like": "nobody"}), ("/v1/collections/d/search", {"text": "a"})):
        assert filled.post(path, json=body).status_code == 404


def test_stages_rerank_and_none_has_a_model_read_that_the_operator_did_not_allow(filled: httpx.Client) -> None:
    body = {"text": "red", "rerank": ["late", {"stage": "mmr", "lambda": 0.5}], "explain": True, "budget": 30}
    answer = filled.post(SEARCH, json=body).json()
    assert len(answer["hits"]) == 6
    assert [effect["stage"] for effect in answer["hits"][0]["effects"]] == ["late", "mmr"]
    assert "segments" in answer["hits"][0]["effects"][0]["note"]
    for stage in ("cross-encoder:model=/etc", {"stage": "cross-encoder", "model": "somebody/thing"}):
        for path, said in ((SEARCH, {}), (f"{SEARCH}/batch", None)):
            one = {"text": "red", "rerank": [stage]}
            refused = filled.post(path, json=one if said is not None else {"queries": [one]})
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:quiver:fault:Forbidden")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_s_own_client_gets_vectors(parts: Parts, base: str, encoding: Any) -> None:
    with openai.OpenAI(base_url=f"{base}/v1", api_key=key_for(parts, "ann")) as asks:
        made = asks.embeddings.create(input=["red", "green"], model="toy#colour", encoding_format=encoding)
    said = [_vector(each.embedding) for each in made.data]
    assert made.model == "toy#colour"
    assert [each.index for each in made.data] == [0, 1]
    assert np.argmax(said[0]) == 0
    assert np.argmax(said[1]) == 1
    assert np.allclose(np.linalg.norm(said, axis=1), 1)


def _vector(said: Any) -> Any:
    return np.frombuffer(base64.b64decode(said), "<f4") if isinstance(said, str) else np.array(said)


def test_pictures_embed_beside_words(http: httpx.Client) -> None:
    body = {"input": [{"text": "red"}, {"image": base64.b64encode(png(RED)).decode()}]}
    first, second = (np.array(d["embedding"]) for d in http.post("/v1/embeddings", json=body).json()["data"])
    assert first @ second > 0.95


def test_documents_are_ordered_by_likeness(http: httpx.Client) -> None:
    documents = ["blue", {"image": base64.b64encode(png(RED)).decode()}, {"text": "green"}]
    answer = http.post("/v1/rerank", json={"query": "red", "documents": documents}).json()
    assert answer["results"][0]["index"] == 1
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    short = http.post("/v1/rerank", json={"query": "red", "documents": documents, "top_n": 1, "return_documents": True})
    assert short.json()["results"][0]["document"] == documents[1]


BAD_MODELS: list[tuple[Callable[[httpx.Client], httpx.Response], int, str]] = [
    (lambda h: h.post("/v1/embeddings", json={"input": []}), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": ""}), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": [[1, 2]]}), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": "a", "dimensions": 7}), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": "a", "model": "clip:/etc"}), 403, "Forbidden"),
    (lambda h: h.post("/v1/embeddings", json={"input": "a", "model": "toy#nothing"}), 422, "NoSpaceFor"),
    (lambda h: h.post("/v1/embeddings", json={"input": "a", "model": "toy#words"}), 422, "NoSpaceFor"),
    (lambda h: h.post("/v1/rerank", json={"query": "a", "documents": []}), 422, "BadQuery"),
    (
        lambda h: h.post("/v1/rerank", content=b'{"query": "a", "documents": ["\\ud800"]}', headers=JSON),
        422,
        "BadQuery",
    ),
    (lambda h: h.post("/v1/embeddings", content=b'{"input": ["\\ud800"]}', headers=JSON), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": ["a" * 100_001]}), 422, "BadQuery"),
    (lambda h: h.post("/v1/embeddings", json={"input": [{"image": "AAAA"}] * 17}), 422, "BadQuery"),
    (lambda h: h.post("/v1/rerank", json={"query": "", "documents": ["a"]}), 422, "BadQuery"),
    (lambda h: h.put("/v1/collections/x", json={"profile": "clip:/etc"}), 403, "Forbidden"),
    (lambda h: h.put("/v1/collections/x", json={"fields": {"a": "colour"}}), 422, "BadQuery"),
    (lambda h: h.put("/v1/collections/x", json={"fields": {"a b": "float"}}), 422, "BadField"),
]


@pytest.mark.parametrize(("ask", "status", "kind"), BAD_MODELS)
def test_a_model_that_cannot_be_asked_says_why(
    http: httpx.Client, ask: Callable[[httpx.Client], httpx.Response], status: int, kind: str
) -> None:
    answer = ask(http)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:quiver:fault:{kind}"), answer.text


def test_a_collection_made_twice_alike_is_one_and_a_difference_is_a_conflict(http: httpx.Client) -> None:
    made = http.put("/v1/collections/c", json={"fields": {"price": "float"}}).json()
    assert http.put("/v1/collections/c", json={"fields": {"price": "float"}}).json() == made
    assert http.put("/v1/collections/c").json() == made
    assert http.put("/v1/collections/c", json={"fields": {"price": "integer"}}).status_code == 409
    assert [each["name"] for each in http.get("/v1/collections").json()] == ["c"]
