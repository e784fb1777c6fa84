"""Stages after fusion: what each does to an order, and what none of them ever does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from threading import Event
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from core.errors import BadQuery
from core.fields import FieldType
from core.points import Stored
from core.types import Image, Modality, Text
from retrieval.request import Hit, InSpace, Like, Mixture, Part
from retrieval.rerank.cross import passages_of
from retrieval.rerank.late import MOST, WORDS, sentences
from retrieval.stages import Asked, OutOfTime
from tests.unit.test_boosts import FIELDS, names
from tests.worlds import BLUE, GREEN, RED, World
from workers.staging import BUILT_IN, stages_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    texts = {f"r{n}.txt": "red " * (n + 3) + "green" for n in range(4)}
    made.add(texts | {"b.txt": "blue red", "g.txt": "green red"}, metadata={"price": 3.0, "kind": "a"})
    made.add({"long.txt": "red " * 300 + "blue " * 300, "pure.txt": "red"}, metadata={"price": 9.0})
    made.add({"r.png": RED, "s.png": (250, 10, 0), "b.png": BLUE, "g.png": GREEN}, metadata={"kind": "b"})
    yield made
    made.parts.close()


def staged(world: World, *specs: str | Mapping[str, Any]) -> dict[str, Any]:
    kept = world.parts.catalogue.collection("c")
    return {"stages": stages_of(world.parts, kept, specs), "limit": 50}


STAGES: list[str | dict[str, Any]] = [
    "exact",
    "late",
    "late:weight=1,depth=3",
    "mmr",
    "mmr:lambda=0,depth=5",
    {"stage": "mmr", "lambda": 0.7, "space": "colour"},
    "boost:field=price,origin=5,scale=2",
    "boost:field=kind,value=b,factor=0",
    "boost:field=price,modifier=square,depth=4",
]
QUERIES = [
    "red cat",
    "red. blue! " + "green " * 60,
    Image(np.full((8, 8, 3), RED, np.uint8)),
    Mixture((Part(Text("red")), Part(Text("blue"), -0.5), Part(Image(np.full((4, 4, 3), GREEN, np.uint8)), 0.5))),
    InSpace("colour", np.array([3.0, 0.0, 1.0, 0.2], np.float32)),
]


@pytest.mark.parametrize("spec", STAGES, ids=str)
@pytest.mark.parametrize("query", QUERIES, ids=["text", "long", "image", "mixture", "vector"])
def test_no_stage_invents_or_doubles_a_hit_and_each_leaves_one_order(world: World, spec: Any, query: Any) -> None:
    if isinstance(query, InSpace):
        space = world.parts.catalogue.serving("c").spaces[0]
        query = InSpace(space.name, np.ones(space.dim, np.float32))
    before = world.ask(query, limit=50).hits
    asked = staged(world, spec)
    after = world.ask(query, explain=True, **asked).hits
    assert len(before) == 12
    assert sorted(names(after)) == sorted(names(before))
    assert all(one.score >= other.score for one, other in pairwise(after))
    assert names(world.ask(query, **asked).hits) == names(after)
    told = [one.effects[0] for one in after]
    assert [one.rank for one in told] == [*range(1, 13)]
    assert sorted(one.rank_before or 0 for one in told) == [*range(1, 13)]
    depth = asked["stages"][0].depth
    assert names(after[depth:]) == names(before[depth:])


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() - {"cross-encoder"}))
def test_every_stage_is_named_as_it_is_asked_for_and_takes_no_hits_at_all(world: World, name: str) -> None:
    said: dict[str, dict[str, Any]] = {"boost": {"field": "price"}, "recency": {"field": "on", "half_life": 1}}
    kept = replace(world.parts.catalogue.collection("c"), fields={"price": FieldType.FLOAT, "on": FieldType.DATETIME})
    (stage,) = stages_of(world.parts, kept, [{"stage": name, **said.get(name, {})}])
    assert stage.name == name
    assert list(stage.rerank([], asking(world, "red"))) == []


def asking(world: World, text: str, deadline: float | None = None) -> Asked:
    held: list[Asked] = []

    class Catch:
        name, depth = "catch", 0

        def rerank(self, hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
            held.append(replace(asked, deadline=deadline))
            return hits

    world.ask(text, stages=(Catch(),))
    return held[0]


@pytest.mark.parametrize("name", ["exact", "late", "mmr"])
def test_a_stage_that_reads_the_index_looks_at_the_clock(world: World, name: str) -> None:
    (stage,) = staged(world, name)["stages"]
    hits = world.ask("red").hits
    with pytest.raises(OutOfTime):
        stage.rerank(hits, asking(world, "red", deadline=perf_counter() - 1))


def test_mmr_of_relevance_alone_is_the_order_itself(world: World) -> None:
    assert world.names("red", **staged(world, "mmr:lambda=1")) == world.names("red", limit=50)


def test_mmr_takes_what_is_unlike_what_it_has(world: World) -> None:
    plain = world.names("red", limit=50)
    answer = world.ask("red", explain=True, **staged(world, "mmr:lambda=0.3,space=colour"))
    first = names(answer.hits)
    assert first[0] == plain[0]
    kinds = ["red" if name[0] in "rsp" else "other" for name in first]
    assert kinds[1] == "other"
    assert any(" like " in hit.effects[0].note for hit in answer.hits)


def test_exact_says_what_the_store_says_when_that_is_exact(world: World) -> None:
    plain = world.ask("red cat", limit=50, exact=True).hits
    again = {one.external_id: one for one in world.ask("red cat", explain=True, **staged(world, "exact")).hits}
    for one in plain:
        mine = {(match.space, match.content): match for match in again[one.external_id].matches}
        for match in one.matches:
            assert mine[match.space, match.content].score == pytest.approx(match.score, abs=1e-6)


class Coarse:
    """A store whose scores are off, as those of short codes are, and here as much as can be."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(self, index: Any, queries: Any) -> Any:
        off = [[replace(point, score=-point.score) for point in one] for one in self._inner.search(index, queries)]
        return [sorted(one, key=lambda point: (-point.score, point.id.int)) for one in off]


def test_exact_mends_an_order_that_coarse_scores_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = frozenset({Modality.IMAGE})
    likeness = {hit.external_id: hit.matches[0].score for hit in world.ask("red", limit=50, modalities=texts).hits}
    monkeypatch.setitem(world.parts.__dict__, "store", Coarse(world.store))
    best = sorted(likeness.values(), reverse=True)  # some are equally near
    assert [likeness[name] for name in world.names("red", limit=50, modalities=texts)] != best
    mended = world.names("red", modalities=texts, **staged(world, "exact"))
    assert [likeness[name] for name in mended] == best[: len(mended)]


def test_late_interaction_finds_who_has_every_part_of_a_question(world: World) -> None:
    """A text that mixes both colours is nearest to the question as a whole, and to neither of its parts. Words, which
    stay as they were, find both equally."""
    asked = staged(world, "late:weight=1") | {"weights": {"words": 0.0}, "modalities": frozenset({Modality.TEXT})}
    mine = world.ask("red red red. blue blue blue.", explain=True, **asked).hits
    assert mine[0].external_id == "long.txt"
    assert mine[0].effects[0].note.startswith("2 parts x ")


def test_late_interaction_with_an_asset_compares_all_of_its_segments(world: World) -> None:
    hits = world.ask(Like(world.id_of("long.txt")), explain=True, **staged(world, "late")).hits
    parts = int(hits[0].effects[0].note.split()[0])
    points = world.store.of_assets(world.parts.catalogue.serving("c"), [world.id_of("long.txt")])
    assert parts == len(points) > 1


def test_a_long_question_is_cut_into_few_pieces_that_hold_its_words() -> None:
    assert sentences("One. Two? 三个字。四个字！") == ["One.", "Two?", "三个字。", "四个字！"]
    assert all(len(piece.split()) <= WORDS for piece in sentences("word " * 500))
    assert len(sentences("a. " * 1000)) <= MOST
    assert sentences("...") == ["..."]


class Counts:
    """Scores of a cross-encoder that counts words of the query: log-odds of as many."""

    model = "counts"

    def __init__(self) -> None:
        self.read: list[str] = []

    def reads(self, query: str) -> bool:
        return query.isascii()

    def score(self, query: str, texts: Sequence[str], between: Callable[[], None] = lambda: None) -> Any:
        between()
        self.read += texts
        return np.array([sum(text.lower().split().count(w) for w in query.split()) for text in texts], np.float32)


def crossed(world: World, spec: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Counts, dict[str, Any]]:
    counts = Counts()
    monkeypatch.setattr(type(world.parts), "cross_encoder", lambda _, model=None: counts)
    return counts, staged(world, spec)


def test_a_cross_encoder_reads_what_text_an_asset_has_and_leaves_the_others_in_their_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, asked = crossed(world, "cross-encoder:weight=1", monkeypatch)
    plain = world.names("blue", limit=50)
    hits = world.ask("blue", explain=True, **asked).hits
    assert sorted(names(hits)) == sorted(plain)
    assert hits[0].external_id == "long.txt"  # its best passage is blue a hundred times
    notes = {one.external_id: one.effects[0].note for one in hits}
    assert notes["b.txt"] == "cross-encoder 0.73 on text"
    assert notes["b.png"] == "no text to read"
    pictures = [name for name in names(hits) if name.endswith("png")]
    assert pictures == [name for name in plain if name.endswith("png")]
    assert "blue red" in counts.read
    assert all(len(text) <= 500 for text in counts.read)


def test_of_a_long_text_the_passages_nearest_to_the_query_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, asked = crossed(world, "cross-encoder:passages=1", monkeypatch)
    world.ask("blue", **asked)
    assert [text for text in counts.read if text.split().count("blue") > 9]
    assert not [text for text in counts.read if text.split().count("red") > 9]


def test_fields_and_readings_are_read_with_their_names(world: World) -> None:
    one = replace(world.ask("red").hits[0], metadata={"note": "a note", "title": "Title", "other": "no", "alt": " "})
    points = [
        Stored(UUID(int=1), {"text": "words on it", "source": "ocr"}),
        Stored(UUID(int=2), {"text": "Title. a note"}),
        Stored(UUID(int=3), {"text": "the body"}),
    ]
    read = passages_of(one, points, FIELDS, asking(world, "red"), 3)
    assert read == [("title, note", "Title. a note"), ("ocr", "words on it"), ("text", "the body")]


def test_a_query_without_words_is_left_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, asked = crossed(world, "cross-encoder", monkeypatch)
    query = Image(np.full((8, 8, 3), RED, np.uint8))
    hits = world.ask(query, explain=True, **asked).hits
    assert names(hits) == world.names(query, limit=50)
    assert hits[0].effects[0].note == "the query has no words"
    assert not counts.read


def test_a_query_in_a_script_that_the_model_does_not_read_is_left_as_it_was_and_the_answer_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, asked = crossed(world, "cross-encoder", monkeypatch)
    answer = world.ask("红 red", explain=True, **asked)
    assert names(answer.hits) == world.names("红 red", limit=50)
    assert answer.notes == ("cross-encoder left the order as it was: counts does not read its script",)
    assert answer.hits[0].effects[0].note == "counts does not read its script"
    assert not counts.read
    assert world.ask("red", **asked).notes == ()


def test_a_slow_cross_encoder_leaves_the_order_of_the_first_stage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, asked = crossed(world, "cross-encoder", monkeypatch)
    go = Event()

    def slow(query: str, texts: Sequence[str], between: Callable[[], None]) -> Any:
        while not go.wait(0.01):
            between()
        return np.zeros(len(texts), np.float32)

    monkeypatch.setattr(counts, "score", slow)
    answer = world.ask("blue", budget=0.1, **asked)
    assert answer.partial == ("cross-encoder",)
    assert names(answer.hits) == world.names("blue", limit=50)


REFUSED = [
    ("cross-encoder:passages=0", "from 1 to 32"),
    ("cross-encoder:dept=3", "there is: model, weight, passages, depth"),
    ("mmr:lambda=2", "from 0 to 1"),
    ("mmr:lamda=0.5", "no option 'lamda'; there is: lambda, space, depth"),
    ("mmr:space=words", "there is no dense space 'words'"),
    ("mmr:depth=0", "from 1 to 1000"),
    ("mmr:depth=1.5", "a whole number"),
    ({"stage": "mmr", "lambda": True}, "a number"),
    ({"stage": "mmr", "lambda": [1]}, "a number"),
    ("exact:depth=many", "a number"),
    ("late:weight=-1", "from 0 to 1"),
    ("recency", "field is None"),
    ("recency:field=nothing", "a declared field that is datetime"),
    ("recency:field=price,half_life=7d", "a declared field that is datetime"),
    ("boost:field=note", "a declared field that is float or integer \\(price\\)"),
    ("boost:field=price,origin=here,scale=1", "origin is 'here': give a number"),
    ("boost:field=price,origin=1e999,scale=1", "origin is"),
    ("boost:field=price,origin=1", "say the scale"),
    ("boost:field=price,origin=1,scale=0", "scale is"),
    ("boost:field=price,modifier=ln", "none or log1p or sqrt or square"),
    ("boost:field=price,factor=-1", "a number"),
    ("boost:field=kind,value=", "value is"),
    ("nothing", "there is no stage 'nothing'; there is: boost, cross-encoder"),
]


@pytest.mark.parametrize(("spec", "said"), REFUSED, ids=[str(spec) for spec, _ in REFUSED])
def test_what_a_stage_does_not_understand_is_refused_with_what_it_does(world: World, spec: Any, said: str) -> None:
    with pytest.raises(BadQuery, match=said):
        staged(world, spec)
