"""Stages after fusion: what each does to an order, and what none of them ever does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Event
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadQuery
from core.fields import FieldType
from core.points import Stored
from core.types import AssetId, Digest, Image, Modality, Text
from retrieval.request import Hit, InSpace, Like, Mixture, Part
from retrieval.rerank.cross import passages_of
from retrieval.rerank.decay import SHAPES, boost, recency
from retrieval.rerank.late import MOST, WORDS, sentences
from retrieval.rerank.order import blended, ordered, parted
from retrieval.stages import Asked, OutOfTime
from tests.worlds import BLUE, GREEN, RED, World
from workers.staging import BUILT_IN, stages_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIELDS = {"created": FieldType.DATETIME, "price": FieldType.FLOAT, "likes": FieldType.INTEGER}
FIELDS |= {"kind": FieldType.KEYWORD, "fresh": FieldType.BOOL, "note": FieldType.TEXT}
DAY = 86_400.0


def hit(at: int, score: float = 1.0, **metadata: Any) -> Hit:
    return Hit(
        asset=AssetId(UUID(int=at + 1)),
        external_id=f"h{at}",
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest("0" * 64),
        metadata=metadata,
        score=score,
        matches=(),
    )


class Asks(Asked):
    """A query that a pure stage does not look at."""

    def __init__(self) -> None:
        object.__setattr__(self, "notes", {})
        object.__setattr__(self, "deadline", None)


def names(hits: Sequence[Hit]) -> list[str]:
    return [one.external_id for one in hits]


def now() -> float:
    return NOW.timestamp()


# One order


SCORES = st.lists(st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12)


@given(SCORES, st.integers(1, 12), st.floats(0, 1), st.randoms())
def test_a_blend_is_a_total_order_over_the_same_hits_and_the_rest_stay_behind(
    scores: list[float], depth: int, weight: float, random: Any
) -> None:
    hits = [hit(at, score) for at, score in enumerate(sorted(scores, reverse=True))]
    head, tail = parted(hits, depth)
    made = {one.asset: random.random() for one in head if random.random() < 0.8}
    after = ordered(head, blended(head, made, weight), tail)
    assert sorted(names(after)) == sorted(names(hits))
    assert all(one.score >= other.score for one, other in pairwise(after))
    assert names(after[len(head) :]) == names(tail)
    if weight == 0:
        assert names(after) == names(hits)


def test_a_hit_that_a_stage_says_nothing_of_keeps_its_score() -> None:
    head = [hit(0, 0.9), hit(1, 0.5), hit(2, 0.1)]
    made = blended(head, {head[0].asset: 1.0, head[2].asset: 3.0}, 0.5)
    assert made == pytest.approx({head[0].asset: 0.5, head[1].asset: 0.5, head[2].asset: 0.5})


# Recency and boosts


@given(st.lists(st.integers(-50, 4000), min_size=2, max_size=10), st.sampled_from(sorted(SHAPES)), st.floats(0, 1))
def test_of_equal_hits_the_newer_is_never_behind(ages: list[int], shape: str, weight: float) -> None:
    hits = [hit(at, created=(NOW - timedelta(days=age)).isoformat()) for at, age in enumerate(ages)]
    stage = recency(FIELDS, {"field": "created", "half_life": "30d", "shape": shape, "weight": weight}, now=now)
    after = stage.rerank(hits, Asks())
    age_of = dict(zip(names(hits), ages, strict=True))
    for one, other in pairwise(after):
        assert max(0, age_of[one.external_id]) <= max(0, age_of[other.external_id]) or one.score == other.score


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_half_is_left_at_the_half_life_whatever_the_shape(shape: str) -> None:
    asked = Asks()
    stage = recency(FIELDS, {"field": "created", "half_life": "7d", "shape": shape}, now=now)
    old, new, later = (hit(at, 0.8, created=(NOW - timedelta(days=d)).isoformat()) for at, d in enumerate((7, 0, -9)))
    after = stage.rerank([old, new, later], asked)
    assert {one.external_id: one.score for one in after} == pytest.approx({"h0": 0.4, "h1": 0.8, "h2": 0.8})
    assert asked.notes[old.asset] == "half_life 7d, 7d old: x0.5"


def test_the_shapes_are_elasticsearchs() -> None:
    """Its reference: at `scale` from the origin `decay` is left; exp and gauss never reach 0, linear does."""
    for shape in SHAPES.values():
        assert shape(0.0, 10.0, 0.3) == 1.0
        assert shape(10.0, 10.0, 0.3) == pytest.approx(0.3)
    assert SHAPES["gaussian"](5.0, 10.0, 0.5) == pytest.approx(math.exp(math.log(0.5) / 4))
    assert SHAPES["exponential"](20.0, 10.0, 0.5) == pytest.approx(0.25)
    assert SHAPES["linear"](20.0, 10.0, 0.5) == 0.0
    assert SHAPES["gaussian"](1e300, 1e-9, 0.5) == SHAPES["linear"](math.inf, 1.0, 0.5) == 0.0


def test_a_hit_without_the_field_keeps_its_score_unless_it_is_said_otherwise() -> None:
    hits = [hit(0, 0.9), hit(1, 0.8, created=NOW.isoformat()), hit(2, 0.7, created=[])]
    said = {"field": "created", "half_life": "1d"}
    assert names(recency(FIELDS, said, now=now).rerank(hits, Asks())) == ["h0", "h1", "h2"]
    asked = Asks()
    assert names(recency(FIELDS, {**said, "missing": "0.1"}, now=now).rerank(hits, asked)) == ["h1", "h0", "h2"]
    assert asked.notes[hits[0].asset] == "no created: x0.1"


BOOSTS: list[tuple[dict[str, Any], list[float]]] = [
    ({"field": "price", "origin": "20", "scale": 10, "shape": "linear"}, [0.5, 1.0, 0.0]),
    ({"field": "price", "origin": 20, "scale": 10, "offset": 10}, [1.0, 1.0, 0.5**8]),
    ({"field": "likes", "factor": "2"}, [0.0, 8.0, 2.0]),
    ({"field": "likes", "modifier": "log1p"}, [0.0, math.log(5), math.log(2)]),
    ({"field": "likes", "modifier": "sqrt", "weight": 0.5}, [0.5, 1.5, 1.0]),
    ({"field": "kind", "value": "b", "factor": 3}, [1.0, 3.0, 3.0]),
    ({"field": "fresh", "value": "true"}, [2.0, 1.0, 1.0]),
    ({"field": "likes", "value": "4", "factor": 0.5}, [1.0, 0.5, 1.0]),
    ({"field": "created", "origin": "2026-06-01", "scale": "10d"}, [0.5, 1.0, 1.0]),
    ({"field": "created", "origin": "now", "scale": "1d", "offset": "9d"}, [0.5, 1.0, 1.0]),
]


@pytest.mark.parametrize(("said", "want"), BOOSTS, ids=[str(said) for said, _ in BOOSTS])
def test_a_boost_is_the_score_times_what_the_field_is_worth(said: dict[str, Any], want: list[float]) -> None:
    hits = [
        hit(0, price=10.0, likes=0, kind="a", fresh=True, created=(NOW - timedelta(days=10)).isoformat()),
        hit(1, price=20.0, likes=4, kind="b", fresh=False, created=NOW.isoformat()),
        hit(2, price=[110.0, 250.0], likes=[1, 0], kind=["a", "b"]),
    ]
    after = boost(FIELDS, said, now=now).rerank(hits, Asks())
    assert {one.external_id: one.score for one in after} == pytest.approx(dict(zip(names(hits), want, strict=True)))


def test_scores_below_zero_are_boosted_as_others_are() -> None:
    hits = [hit(0, -0.1, likes=1), hit(1, -0.2, likes=3), hit(2, -0.9, likes=9)]
    assert names(boost(FIELDS, {"field": "likes"}, now=now).rerank(hits, Asks())) == ["h1", "h0", "h2"]


# Over an index


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
    right = world.names("red", limit=50, exact=True, modalities=texts)
    monkeypatch.setitem(world.parts.__dict__, "store", Coarse(world.store))
    wrong = world.names("red", limit=50, modalities=texts)
    assert wrong != right
    assert world.names("red", modalities=texts, **staged(world, "exact")) == right


def test_late_interaction_finds_who_has_every_part_of_a_question(world: World) -> None:
    """A text that mixes both colours is nearest to the question as a whole, and to neither of its parts."""
    query = "red red red. blue blue blue."
    mine = world.ask(query, explain=True, modalities=frozenset({Modality.TEXT}), **staged(world, "late:weight=1")).hits
    assert mine[0].external_id == "long.txt"
    assert mine[0].effects[0].note.startswith("2 parts x ")
    assert world.names(query, limit=50, modalities=frozenset({Modality.TEXT}))[0] == "b.txt"


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


def test_a_half_life_is_a_duration_and_the_moment_one(world: World) -> None:
    for said, want in (("x", "a duration"), ("0", "a duration"), ("-1d", "a duration"), (None, "say the half_life")):
        with pytest.raises(BadQuery, match=want):
            recency(FIELDS, {"field": "created", "half_life": said}, now=now)
    with pytest.raises(BadQuery, match="now, or a moment"):
        boost(FIELDS, {"field": "created", "origin": "yesterday", "scale": "1d"}, now=now)
    with pytest.raises(BadQuery, match="true or false"):
        boost(FIELDS, {"field": "fresh", "value": "maybe"}, now=now)
    with pytest.raises(BadQuery, match="a value of a integer field"):
        boost(FIELDS, {"field": "likes", "value": "x"}, now=now)
    assert DAY == 86_400.0
