"""Evaluating by the embedded facade and over HTTP: the same figures, and nothing left out in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadFilter, BadQuery, NoSuchCollection
from core.records import IndexState
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import Tenant, Text
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from quiver.report_page import report_page
from retrieval.request import SearchRequest
from tests.doubles import toy_parts
from tests.httpd import key_for, png, serving
from workers.evaluating import Query, evaluate

Door = Quiver | RemoteQuiver
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
QUERIES: list[dict[str, Any]] = [
    {"id": "red", "text": "red", "language": "en", "where": "price < 5"},
    {"id": "green", "text": "green", "language": "en"},
    {"id": "hong", "text": "red red", "language": "zh"},
    {"id": "pic", "image": png(BLUE), "modality": "image"},
    {"id": "nothing", "text": "rocket", "language": "en"},
]
QRELS = {
    "red": {"red.txt": 1, "red.png": 2},
    "green": {"green.png": 1, "blue.png": 0, "gone": 1},
    "hong": {"red.png": 1},
    "pic": {"blue.png": 1},
    "nothing": {"red.txt": 0},
    "other": {"red.txt": 1},
}
WRONG_SETTINGS: dict[str, Any] = {"rerank": 5, "weights": {"words": "x"}, "budget": "1", "min_score": []}
WRONG: dict[str, Any] = {"by": "kind", "filters": "price < 5", "recall_sample": "all", "settings": [5], "against": 5}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = toy_parts(tmp_path / "data")
    made.__dict__["store"] = MemoryStore()
    yield made
    made.close()


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield filled(Quiver(parts))
    else:
        with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
            yield filled(remote)


def filled(door: Door, collection: str = "c") -> Door:
    door.create(collection, fields={"price": "float", "kind": "keyword"})
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        door.add(collection, file=png(colour), id=f"{name}.png", metadata={"price": 1, "kind": "photo"})
        door.add(collection, text=name, id=f"{name}.txt", metadata={"price": 9 if name == "blue" else 2})
    door.wait(collection, timeout=20)
    return door


def test_figures_slices_and_what_could_not_be_measured_are_told(door: Door) -> None:
    said = door.evaluate("c", QUERIES, QRELS, at=(1, 2), by=["kind"], seed=1)
    assert (said.collection, said.queries, said.judgements) == ("c", 4, 7)
    assert said.unknown == ("gone",)
    assert said.unjudged == ("nothing",)
    assert said.unasked == ("other",)
    assert (said.failed, said.refused, said.ok) == ((), (), False)
    assert said.per_query["red"]["R@2"] == 1.0
    assert said.per_query["green"]["R@2"] == 0.5, "what is not there counts as not found"
    assert said.per_query["pic"]["MRR"] == 1.0
    assert said.figures["R@2"].mean == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert {(one.by, one.value, one.queries) for one in said.slices} == {
        ("modality", "text → image", 3),
        ("modality", "text → text", 1),
        ("modality", "image → image", 1),
        ("language", "en", 2),
        ("language", "zh", 1),
        ("language", "(none)", 1),
        ("kind", "photo", 4),
        ("kind", "(none)", 1),
    }
    assert said.seconds["p50"] > 0
    assert set(said.run) == {line["id"] for line in QUERIES}
    assert said.run["pic"][0][0] == "blue.png"
    again = door.evaluate("c", QUERIES, QRELS, at=(1, 2), by=["kind"], seed=1)
    assert (again.figures, again.slices) == (said.figures, said.slices)


def test_search_is_compared_with_an_exact_one_with_and_without_filters(door: Door) -> None:
    said = door.evaluate("c", QUERIES, QRELS, filters=['kind = "photo"'])
    assert [one.where for one in said.recall] == ["", "(its own)", 'kind = "photo"']
    assert [one.queries for one in said.recall] == [5, 1, 5]
    assert all(one.recall.mean == one.worst == 1.0 for one in said.recall), "the reference store is exact"
    if isinstance(door, Quiver):
        assert said.recall[2].selectivity == 0.5
    assert door.evaluate("c", QUERIES, QRELS, recall_sample=0).recall == ()


def test_the_gap_between_modalities_is_told_where_vectors_are_seen(door: Door) -> None:
    said = door.evaluate("c", QUERIES, QRELS)
    if isinstance(door, RemoteQuiver):
        assert said.gaps == ()
        return
    found = {(one.space, str(one.asked), str(one.content)): one.apart for one in said.gaps}
    assert found.keys() == {("colour", "text", "image"), ("colour", "text", "text"), ("colour", "image", "image")}
    assert found["colour", "text", "image"].pairs == 3
    assert found["colour", "text", "image"].paired > found["colour", "text", "image"].unpaired
    assert found["colour", "image", "image"].distance == pytest.approx(0, abs=1e-3)


def test_another_collection_and_other_settings_are_compared(door: Door) -> None:
    filled(door, "other")
    door.remove("other", "red.png")
    said = door.evaluate("c", QUERIES, QRELS, against="other", at=(1, 2))
    assert said.comparison is not None
    assert (said.comparison.collection, said.comparison.unknown) == ("other", ("red.png", "gone"))
    recall = {one.measure: one for one in said.comparison.differences}["R@2"]
    assert (recall.better, recall.worse, recall.same) == (0, 2, 2)
    assert recall.difference == pytest.approx(-(0.5 + 1) / 4)
    same = door.evaluate("c", QUERIES, QRELS, against="c").comparison
    assert same is not None
    assert {(one.difference, one.p) for one in same.differences} == {(0.0, 1.0)}
    texts = door.evaluate("c", QUERIES, QRELS, against_settings={"modality": "text"}).comparison
    assert texts is not None
    assert texts.settings == {"modality": "text"}
    assert {one.measure: one.there for one in texts.differences}["MAP"] < 0.5


def test_files_are_read_and_bad_lines_are_named(door: Door, tmp_path: Path) -> None:
    (tmp_path / "blue.png").write_bytes(png(BLUE))
    lines = [json.dumps({**one, "image": "blue.png"} if "image" in one else one) for one in QUERIES]
    (tmp_path / "q.jsonl").write_text("\n".join([*lines, "{", '{"id": "w", "text": "a", "where": "colour = 1"}']))
    rows = [f"{query} 0 {asset} {grade}" for query, held in QRELS.items() for asset, grade in held.items()]
    (tmp_path / "r.tsv").write_text("\n".join([*rows, "no judgement"]))
    (tmp_path / "p.tsv").write_text("blue\tblue.png\n")
    said = door.evaluate("c", tmp_path / "q.jsonl", tmp_path / "r.tsv", pairs=tmp_path / "p.tsv")
    assert [line.partition(":")[0] for line in said.refused] == ["q.jsonl line 6", "r.tsv line 10"]
    [(query, why)] = said.failed
    assert query == "w"
    assert why.startswith("BadFilter")
    assert said.queries == 5, "the pair is one"
    assert said.per_query["pic"]["MRR"] == 1.0


def test_a_line_with_a_part_of_a_wrong_type_costs_that_line_and_is_told_with_its_number(
    door: Door, tmp_path: Path
) -> None:
    wrong: list[dict[str, Any]] = [{"less": 5}, {"less": [5]}, {"modality": 5}, {"text": 5}, {"mix": 5}, {"where": 5}]
    rows = [{"id": "red", "text": "red"}, *({"id": f"w{at}", "text": "red", **one} for at, one in enumerate(wrong))]
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "r.tsv").write_text("red 0 red.txt 1")
    said = door.evaluate("c", tmp_path / "q.jsonl", tmp_path / "r.tsv", recall_sample=0)
    assert said.per_query["red"]["MRR"] > 0
    assert said.refused[0].startswith("q.jsonl line 6: mix is a list")
    assert [query for query, _ in said.failed] == ["w0", "w1", "w2", "w3", "w5"]
    whys = [why for _, why in said.failed]
    assert whys[0] == "BadQuery: q.jsonl line 2: less is 5: give a list of texts"
    assert [why.split(": ")[1] for why in whys] == [f"q.jsonl line {at}" for at in (2, 3, 4, 5, 7)]


def test_a_judged_query_that_is_refused_counts_as_not_answered(door: Door) -> None:
    queries: list[dict[str, Any]] = [
        {"id": "red", "text": "red"},
        {"id": "q6", "text": "red", "where": "nope = 1"},
        {"id": "q7", "text": "red", "less": 5},
    ]
    said = door.evaluate("c", queries, {name: {"red.txt": 1} for name in ("red", "q6", "q7")}, at=(2,), recall_sample=2)
    assert [(query, why.partition(":")[0]) for query, why in said.failed] == [("q6", "BadFilter"), ("q7", "BadQuery")]
    assert [said.per_query[name]["R@2"] for name in ("red", "q6", "q7")] == [1.0, 0.0, 0.0]
    assert said.figures["R@2"].mean == pytest.approx(1 / 3)
    assert bool(said.gaps) == isinstance(door, Quiver), "of those that were answered"


def test_rows_and_pairs_that_are_none_are_named(door: Door) -> None:
    rows: list[Any] = [{"id": "red", "text": "red"}, "x", 5]
    pairs: list[Any] = [("blue", "blue.png"), "ab", ("blue", 5)]
    said = door.evaluate("c", rows, {"red": {"red.txt": 1}}, pairs=pairs, recall_sample=0)
    assert said.queries == 2
    assert [line.partition(":")[0] for line in said.refused] == ["query 1", "query 2", "pair 2", "pair 3"]


def test_what_makes_no_evaluation_is_refused(door: Door) -> None:
    wrongs: list[dict[str, Any]] = [
        {"queries": QUERIES},
        {"qrels": QRELS},
        {"queries": [], "qrels": {}},
        {"queries": [{"id": "a"}], "qrels": QRELS},
        {"queries": QUERIES, "qrels": QRELS, "settings": {"limit": 5}},
        {"queries": QUERIES, "qrels": QRELS, "settings": {"colour": 5}},
        {"queries": QUERIES, "qrels": QRELS, "against_settings": {"fusion": "magic"}},
        {"queries": QUERIES, "qrels": QRELS, "at": (0,)},
        {"queries": QUERIES, "qrels": QRELS, "depth": 5},
        {"queries": QUERIES, "qrels": QRELS, "depth": 5000},
        {"queries": QUERIES, "qrels": QRELS, "seed": -1},
        {"queries": 5, "qrels": QRELS},
        {"queries": QUERIES, "qrels": {"red": {"red.txt": "good"}}},
    ]
    for wrong in wrongs:
        with pytest.raises(BadQuery):
            door.evaluate("c", **wrong)
    for name, held in WRONG_SETTINGS.items():
        with pytest.raises(BadQuery, match=f"{name} is .*: give "):
            door.evaluate("c", QUERIES, QRELS, settings={name: held})
        with pytest.raises(BadQuery, match=f"{name} is .*: give "):
            door.evaluate("c", QUERIES, QRELS, against_settings={name: held})
    for name, held in WRONG.items():
        with pytest.raises(BadQuery, match=f"{name} is .*: give "):
            door.evaluate("c", QUERIES, QRELS, **{name: held})
    with pytest.raises(NoSuchCollection):
        door.evaluate("nowhere", QUERIES, QRELS)
    with pytest.raises(NoSuchCollection):
        door.evaluate("c", QUERIES, QRELS, against="nowhere")
    if isinstance(door, Quiver):
        with pytest.raises(BadFilter):
            door.evaluate("c", QUERIES, QRELS, filters=["colour = 1"])


def test_what_people_said_can_be_evaluated(door: Door) -> None:
    for words, asset, grade in (("red", "red.png", 3), ("red", "green.txt", 0), ("blue", "blue.txt", 1)):
        query = door.search("c", words, record=True).query
        assert query is not None
        door.feedback("c", query, asset, grade)
    held = list(door.judgements("c"))
    qrels = {str(one.query): dict(one.grades) for one in held}
    said = door.evaluate("c", [{"id": str(one.query), **one.said} for one in held], qrels)
    assert (said.queries, len(said.unjudged), said.ok) == (2, 1, True)
    assert said.figures["R@5"].mean == 1.0


def test_an_index_that_does_not_serve_is_evaluated_beside_the_one_that_does(parts: Parts) -> None:
    quiver = filled(Quiver(parts))
    serving_now = parts.catalogue.serving("c")
    other = replace(serving_now, id="c-other", state=IndexState.BUILDING)
    parts.store.create(other)
    kept = parts.catalogue.collection("c")
    me = Tenant(parts.settings.tenant)
    queries = [Query.of(w, SearchRequest(tenant=me, collection="c", query=Text(w)), language="en") for w in ("red",)]
    qrels = {"red": {"red.txt": 1}}
    full = evaluate(parts, kept, queries, qrels, tenant=me)
    empty = evaluate(parts, kept, queries, qrels, tenant=me, index=other)
    assert (full.index, full.figures["MRR"].mean) == (serving_now.id, 1.0)
    assert (empty.index, empty.figures["MRR"].mean, empty.run["red"]) == ("c-other", 0.0, [])
    assert parts.catalogue.serving("c").id == serving_now.id
    quiver.close()


def test_a_page_holds_all_of_a_report_and_loads_nothing(parts: Parts) -> None:
    quiver = filled(Quiver(parts))
    bad = [*QUERIES, {"id": "w", "text": "<script>alert(1)</script>", "where": "colour = 1"}]
    qrels = {**QRELS, "w": {"<b>&": 1}}
    said = quiver.evaluate("c", bad, qrels, by=["kind"], filters=["price < 3"], against_settings={"fusion": "dbsf"})
    page = report_page(said)
    assert not re.findall(r"(?:src|href)\s*=|@import|url\(|<script|<link|<iframe|https?:", page)
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    for shown in ("nDCG@10", "text → image", "price &lt; 3", "Modality gap", "Against c", "gone", "nothing"):
        assert shown in page, shown
    assert page.count("<svg") == page.count("</svg>") == 2 + len({one.by for one in said.slices})
    nothing = quiver.evaluate("c", QUERIES[4:], {"nothing": {"red.txt": 0}})
    assert "Nothing was measured" in report_page(nothing)
    assert (nothing.queries, nothing.figures, nothing.slices) == (0, {}, ())
