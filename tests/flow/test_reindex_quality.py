"""Quality across a switch: judged queries are a gate, and scores can be read from the first query on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadFilter, BadQuery, Conflict, NoSuchPath, StoreDown
from core.records import Quantization, Storage
from quiver import Quiver
from tests.flow.reindexed import SWITCHED, embedded, put, rebuilt, switched
from workers import calibrating
from workers.verify import Check, verify
from workers.wishes import Wish

COLOURS = ("red", "green", "blue")
QUERIES = [{"id": colour, "text": colour} for colour in COLOURS]
QRELS = {colour: {f"{colour}-{n}": 1 for n in range(11)} for colour in COLOURS}
WORSE = Wish(profile="confused")


@pytest.fixture
def quiver(tmp_path: Path) -> Quiver:
    made = embedded(tmp_path / "data")
    put(made, {name: name.partition("-")[0] for grades in QRELS.values() for name in grades})
    return Quiver(made)


def judged(quiver: Quiver, queries: Any = QUERIES, qrels: Any = QRELS, **more: Any) -> Check:
    said = quiver.reindex_verify("c", sample=4, judged=queries, qrels=qrels, **more)
    assert said.passed == all(check.passed for check in said.checks)
    return next(check for check in said.checks if check.name == "judged")


def test_a_model_that_answers_as_well_passes_with_its_figures(quiver: Quiver) -> None:
    rebuilt(quiver._parts)
    check = judged(quiver)
    assert (check.passed, check.figure) == (True, 0.0)
    assert (
        "nDCG@10 of 3 queries is 1.000, and was 1.000: +0.000 (95 % +0.000 to +0.000), -0.01 allowed" in check.message
    )
    assert quiver.reindex_switch("c").serving.index.profile == "turned"


def test_a_model_that_answers_worse_may_not_serve_unless_the_budget_allows_it(quiver: Quiver) -> None:
    rebuilt(quiver._parts, WORSE)
    assert all(check.passed for check in verify(quiver._parts, "c", sample=4).checks), "only judgements tell"
    check = judged(quiver)
    assert (check.passed, check.figure) == (False, -1.0)
    assert "is 0.000, and was 1.000: -1.000 (95 % -1.000 to -1.000)" in check.message
    with pytest.raises(Conflict, match=r"may not serve yet: judged: nDCG@10 of 3 queries is 0\.000"):
        quiver.reindex_switch("c")
    assert judged(quiver, budget=1.0).passed
    quiver.reindex_switch("c")


def test_a_query_that_the_new_index_refuses_counts_and_is_named(quiver: Quiver) -> None:
    quiver.reindex("c", fields=["year=integer"], switch=True)
    quiver.reindex_retire("c")
    rebuilt(quiver._parts, Wish(fields={}))
    check = judged(quiver, [*QUERIES[:2], {**QUERIES[2], "where": "not year = 1"}])
    assert not check.passed
    assert check.figure == pytest.approx(-1 / 3)
    assert "it refuses 1: blue (BadFilter" in check.message
    check = judged(quiver, [{**QUERIES[2], "where": "not year = 1"}])
    assert not check.passed
    assert BadFilter.__name__ in check.message


def test_judgements_that_make_no_sense_are_refused_and_leave_the_verdict(quiver: Quiver, tmp_path: Path) -> None:
    rebuilt(quiver._parts)
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    qrels.write_text("".join(f"{q} 0 {a} 1\n" for q, grades in QRELS.items() for a in grades) + "red 0\n")
    for said, fault, why in (
        ({"judged": QUERIES}, BadQuery, "give queries and their judgements"),
        ({"qrels": QRELS}, BadQuery, "give queries and their judgements"),
        ({"judged": QUERIES, "qrels": {"rose": {"red-1": 1}}}, BadQuery, "no query has a relevant asset"),
        ({"judged": QUERIES, "qrels": {"red": {"red-1": 0}}}, BadQuery, "no query has a relevant asset"),
        ({"judged": QUERIES, "qrels": QRELS, "budget": -0.1}, BadQuery, "from 0 to 1"),
        ({"judged": QUERIES, "qrels": QRELS, "budget": float("nan")}, BadQuery, "from 0 to 1"),
        ({"judged": queries, "qrels": qrels}, BadQuery, r"qrels.tsv line 34: it is no judgement"),
        ({"judged": tmp_path / "nowhere", "qrels": qrels}, NoSuchPath, "nowhere"),
    ):
        with pytest.raises(fault, match=why):
            quiver.reindex_verify("c", **said)
    assert quiver.reindex_status("c").checks == ()
    qrels.write_text("".join(f"{q} 0 {a} 1\n" for q, grades in QRELS.items() for a in grades) + "red 0 gone 1\n")
    assert "1 judged assets are not there" in judged(quiver, queries, qrels).message


def test_the_first_query_after_a_switch_and_after_the_way_back_has_its_relevance(quiver: Quiver) -> None:
    def relevance() -> dict[str, float | None]:
        return {hit.external_id: hit.relevance for hit in quiver.search("c", "red", limit=33).hits}

    assert set(relevance().values()) == {None}
    quiver.calibrate("c")
    before = relevance()
    switched(quiver._parts)
    assert relevance() == pytest.approx(before, abs=0.02), "it is as good a model"
    assert quiver.search("c", "red", min_score=0.01).hits
    quiver.reindex_rollback("c")
    assert relevance() == pytest.approx(before)


def test_scores_that_nobody_reads_are_not_calibrated_for_a_switch(quiver: Quiver) -> None:
    switched(quiver._parts)
    assert quiver._parts.catalogue.calibrations(quiver._parts.catalogue.serving("c").id) == []
    assert all(hit.relevance is None for hit in quiver.search("c", "red").hits)


def test_what_judgements_made_is_taken_over_where_the_model_stays(quiver: Quiver) -> None:
    catalogue = quiver._parts.catalogue
    quiver.calibrate("c", judged=[({"text": q}, grades) for q, grades in QRELS.items()])

    def judgements() -> dict[str, int]:
        index = catalogue.serving("c")
        names = {space.fingerprint: space.name for space in index.spaces}
        return {names[one.fingerprint]: one.curve["judged"] for one in catalogue.calibrations(index.id)}

    before = judgements()
    assert before == {"colour": 99, "words": 0}, "words find nothing that is wrong, to be judged by"
    switched(quiver._parts, Wish(storage=Storage(quantization=Quantization.SCALAR)))
    assert judgements() == before
    quiver.reindex_retire("c")
    switched(quiver._parts, SWITCHED)
    assert judgements() == {"colour": 0, "words": 0}, "another model's scores are others"


def test_a_switch_does_not_fail_because_scores_cannot_be_calibrated(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise StoreDown("it was away for a moment")

    quiver.calibrate("c")
    monkeypatch.setattr(calibrating, "calibrate", broken)
    switched(quiver._parts)
    assert quiver.search("c", "red").hits
