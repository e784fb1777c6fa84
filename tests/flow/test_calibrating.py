"""Calibrating a collection: by itself, by judgements, again when it has grown; and what a least relevance means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from core.errors import BadQuery
from core.records import Index
from core.runtime.wiring import Parts
from core.spaces import Vector
from core.types import Content, Image, Modality, Text
from quiver import Quiver
from retrieval import hits
from retrieval.request import SearchRequest
from tests.doubles import ColourEncoder, toy_parts
from tests.httpd import png
from tests.worlds import BLUE, GREEN, ME, RED, Things, World
from workers import calibrating, curves
from workers.answering import answer_all
from workers.phrases import PHRASES

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
COLOURS: Things = {"red.png": RED, "green.png": GREEN, "blue.png": BLUE, "red.txt": "red", "green.txt": "green"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.parts.close()


def quiver_of(world: World) -> Quiver:
    return Quiver(world.parts)


def kept(world: World) -> dict[tuple[Modality, Modality], dict[str, object]]:
    index = world.parts.catalogue.serving("c")
    colour = next(space for space in index.spaces if space.name == "colour")
    held = world.parts.catalogue.calibrations(index.id)
    return {(one.asked, one.content): dict(one.curve) for one in held if one.fingerprint == colour.fingerprint}


def test_a_collection_is_calibrated_by_what_questions_find_in_it(world: World) -> None:
    world.add(COLOURS)
    made = quiver_of(world).calibrate("c")
    assert {(one.asked, one.content) for one in made if one.space == "colour"} == {
        (asked, content) for asked in (TEXT, IMAGE) for content in (TEXT, IMAGE)
    }
    assert all(one.questions and not one.judged for one in made)
    answer = quiver_of(world).search("c", "red")
    assert all(hit.relevance is not None and 0 <= hit.relevance <= 1 for hit in answer.hits)
    matches = [match for hit in answer.hits for match in hit.matches if match.space == "colour"]
    assert all(match.probability is not None for match in matches)


def test_a_least_relevance_fits_a_small_collection_at_once_and_cuts_by_it(world: World) -> None:
    world.add(COLOURS)
    assert kept(world) == {}
    hits = quiver_of(world).search("c", "red", min_score=0.5).hits
    assert {hit.external_id for hit in hits} == {"red.png", "red.txt"}
    assert kept(world)
    assert quiver_of(world).search("c", "nothing that is known here", min_score=0.9).hits == ()


def test_an_answer_says_of_what_few_things_its_relevance_is_fitted_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(COLOURS)
    quiver = quiver_of(world)
    wanted = {"text": 2, "image": 3}
    answer = quiver.search("c", "red", min_score=0.5)
    assert {note.split()[2]: int(note.partition("fitted to ")[2].split()[0]) for note in answer.notes} == wanted
    assert quiver.search("c", "red", min_score=0.5, modality="text").notes[0].startswith("relevance of text is rough")
    assert len(quiver.recommend("c", [{"text": "red"}], min_score=0.5).notes) == 2
    assert quiver.search("c", "red").notes == quiver.recommend("c", [{"text": "red"}]).notes == ()
    monkeypatch.setattr(hits, "STEADY", 3)
    [note] = quiver.search("c", "red", min_score=0.5).notes
    assert note.startswith("relevance of text is rough: it is fitted to 2 of that kind")


def test_of_a_large_collection_what_was_not_looked_at_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "QUESTIONS", 2)  # so that a page is 8 points, and 2 of a kind are sampled
    world.add({f"{n}.txt": "red" for n in range(40)} | {f"{n}.png": RED for n in range(30)})
    answer = quiver_of(world).search("c", "red", min_score=0.0)
    assert {note.split()[2]: int(note.partition("fitted to ")[2].split()[0]) for note in answer.notes} == {
        "text": 40,
        "image": 30,
    }


def test_a_least_relevance_of_a_recommendation_fits_a_small_collection_at_once_too(world: World) -> None:
    world.add(COLOURS)
    made = quiver_of(world).recommend("c", [{"text": "red"}], min_score=0.5)
    assert {hit.external_id for hit in made.hits} == {"red.png", "red.txt"}
    assert kept(world)


def test_of_many_people_only_those_who_ask_for_what_is_not_known_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(COLOURS)
    monkeypatch.setattr(calibrating, "SMALL", 3)
    liked = [{"text": "red"}]
    people: list[dict[str, Any]] = [
        {"user": "a", "positives": liked, "min_score": 0.5},
        {"user": "b", "positives": liked},
    ]
    picky, easy = quiver_of(world).recommend_many("c", people)
    assert "`quiver calibrate` finds out" in str(picky.fault)
    assert easy.recommendation is not None
    assert easy.recommendation.hits


def test_an_empty_collection_has_nothing_likely_and_nothing_to_calibrate_by(world: World) -> None:
    assert quiver_of(world).search("c", "red", min_score=0.5).hits == ()
    assert quiver_of(world).recommend("c", [{"text": "red"}], min_score=0.5).hits == ()
    with pytest.raises(BadQuery, match="nothing indexed"):
        quiver_of(world).calibrate("c")


def test_a_large_collection_says_what_to_do_before_a_least_relevance_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(COLOURS)
    monkeypatch.setattr(calibrating, "SMALL", 3)
    with pytest.raises(BadQuery, match="quiver calibrate"):
        quiver_of(world).search("c", "red", min_score=0.5)
    quiver_of(world).calibrate("c")
    assert quiver_of(world).search("c", "red", min_score=0.5).hits


def test_what_nothing_is_known_of_is_refused_and_not_left_out(world: World) -> None:
    world.add({"red.txt": "red", "green.txt": "green"})
    index = world.parts.catalogue.serving("c")
    assert not any(one.asked is IMAGE for one in calibrating.calibrate(world.parts, index))
    picture = Image(np.full((8, 8, 3), RED, np.uint8))
    request = SearchRequest(tenant=ME, collection="c", query=picture, min_score=0.5)
    with pytest.raises(BadQuery, match="text is to be relevant to image"):
        answer_all(world.parts, [request], profile="toy")


def test_judgements_make_the_curve_and_what_is_done_unasked_leaves_it(world: World) -> None:
    reds: Things = {f"red-{n}.png": (200 + n, 4 * n, 0) for n in range(12)}
    blues: Things = {f"blue-{n}.png": (4 * n, 0, 200 + n) for n in range(12)}
    world.add(reds | blues)
    made = quiver_of(world).calibrate("c", judged=[({"text": "red"}, dict.fromkeys(reds, 1))])
    assert {one.judged for one in made if (one.space, one.asked, one.content) == ("colour", TEXT, IMAGE)} == {24}
    likely = {hit.external_id: hit.relevance or 0 for hit in quiver_of(world).search("c", "red", limit=24).hits}
    assert min(likely[name] for name in reds) > 0.8
    assert max(likely[name] for name in blues) < 0.2
    assert quiver_of(world).search("c", "red", min_score=0.5, weights={"words": 0}, modality="image").notes == ()
    before = kept(world)[TEXT, IMAGE]
    calibrating.calibrate(world.parts, world.parts.catalogue.serving("c"), unasked=True)
    assert kept(world)[TEXT, IMAGE] == before
    quiver_of(world).calibrate("c")
    assert kept(world)[TEXT, IMAGE]["judged"] == 0


def test_it_is_done_unasked_when_there_is_enough_and_again_when_that_has_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "LOOK", 0.0)
    monkeypatch.setattr(curves.Known.due, "__defaults__", (4,))

    def tended() -> object:
        calibrating.tend(world.parts)
        return kept(world).get((TEXT, IMAGE), {}).get("assets")

    world.add({"red.png": RED, "green.png": GREEN, "blue.png": BLUE})
    assert tended() is None
    world.add({"red.txt": "red"})
    assert tended() == 4
    world.add({f"{n}.txt": "green" for n in range(3)})
    assert tended() == 4
    world.add({"last.txt": "blue"})
    assert tended() == 8


@pytest.mark.parametrize("count", [104, 400])
def test_an_ingest_leaves_its_scores_fitted_once_and_to_most_of_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    fits: list[Index] = []

    def calibrate(parts: Parts, index: Index, *, unasked: bool) -> list[calibrating.Fitted]:
        fits.append(index)
        return fitted(parts, index, unasked=unasked)

    fitted = calibrating.calibrate
    monkeypatch.setattr(calibrating, "calibrate", calibrate)
    there = tmp_path / "there"
    there.mkdir()
    for number in range(count):
        (there / f"{number}.txt").write_text(f"red number {number}")
    with Quiver(toy_parts(tmp_path / "data", batch=8, lanes=1)) as quiver:
        assert quiver.ingest(there, collection="c").indexed == count
        [index] = fits
        [seen] = {one.curve["assets"] for one in quiver._parts.catalogue.calibrations(index.id)}
    assert max(100, 0.75 * count) <= seen <= count


def test_everyday_questions_are_embedded_once_by_a_model_however_often_is_fitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Content] = []

    def encode_query(encoder: ColourEncoder, query: Content) -> Vector:
        asked.append(query)
        return np.asarray(encoder.encode([query])[0], np.float32)

    monkeypatch.setattr(ColourEncoder, "encode_query", encode_query, raising=False)
    world.add({"red.png": RED, "blue.png": BLUE})
    quiver_of(world).calibrate("c")
    curves_then = kept(world)
    assert {query.value for query in asked if isinstance(query, Text)} == set(PHRASES)
    asked.clear()
    quiver_of(world).calibrate("c")
    assert not asked
    assert kept(world) == curves_then
    world.add({"red.txt": "red"})
    quiver_of(world).calibrate("c")
    assert asked == [Text("red")]  # what the collection says by itself is asked anew


def test_another_process_s_fit_is_seen_after_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(COLOURS)
    assert all(hit.relevance is None for hit in quiver_of(world).search("c", "red").hits)
    now = monotonic()
    other = toy_parts(world.parts.settings.data)
    other.__dict__["store"] = world.store
    calibrating.calibrate(other, other.catalogue.serving("c"))
    other.catalogue.close()
    monkeypatch.setattr(curves, "monotonic", lambda: now + curves.FRESH + 1)
    assert all(hit.relevance is not None for hit in quiver_of(world).search("c", "red").hits)


def test_weighted_is_by_relevance_though_there_is_nothing_of_a_modality(world: World) -> None:
    world.add({f"{n}.png": (255 - 20 * n, 20 * n, 0) for n in range(6)})
    quiver_of(world).calibrate("c")
    hits = quiver_of(world).search("c", "red", fusion="weighted").hits
    assert [hit.score for hit in hits] == [hit.relevance for hit in hits]


def test_modalities_share_an_answer_by_relevance_once_it_is_known_and_by_ranks_before(world: World) -> None:
    texts: Things = {f"{n}.txt": "red" for n in range(4)}
    pictures: Things = {f"{n}.png": (0, 90 + 40 * n, 0) for n in range(4)}
    world.add(texts | pictures)

    def modalities(**more: str) -> list[Modality]:
        found = quiver_of(world).search("c", image=png(RED), fusion=more.get("fusion"))
        return [hit.modality for hit in found.hits]

    assert modalities()[:4] != [TEXT] * 4
    quiver_of(world).calibrate("c")
    assert modalities()[:4] == [TEXT] * 4
    assert modalities(fusion="rrf")[:4] != [TEXT] * 4
