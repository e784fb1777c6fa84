"""A query to hits: what is found, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from core.errors import BadFilter, BadQuery, IndexDrifted, NoSpaceFor, NoSuchAsset, NoSuchCollection
from core.filters import And, Eq, Filter, Not, Range, TextMatch
from core.points import Nearest, Scope
from core.stores.memory import MemoryStore
from core.types import AssetId, Audio, Content, Image, Modality
from retrieval.request import MAX_LIMIT, Hit, Like
from tests.doubles import Flaky
from tests.worlds import BLUE, GREEN, ME, OTHER, RED, Things, World


def square(colour: tuple[int, int, int]) -> Image:
    return Image(np.full((8, 8, 3), colour, np.uint8))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.parts.close()


COLOURS: Things = {"red.png": RED, "green.png": GREEN, "blue.png": BLUE}
WORDS: Things = {"red.txt": "red red", "green.txt": "green", "blue.txt": "blue blue blue"}
IMAGES, TEXTS = frozenset({Modality.IMAGE}), frozenset({Modality.TEXT})


def test_a_text_finds_images(world: World) -> None:
    world.add(COLOURS)
    for colour in ("red", "green", "blue"):
        assert world.names(colour)[0] == f"{colour}.png"


def test_an_image_finds_texts(world: World) -> None:
    world.add(WORDS)
    assert world.names(square(GREEN))[0] == "green.txt"
    assert world.names(square(BLUE))[0] == "blue.txt"


def test_an_image_finds_images(world: World) -> None:
    world.add(COLOURS)
    assert world.names(square((200, 30, 10)))[0] == "red.png"


def test_a_text_finds_texts(world: World) -> None:
    world.add(WORDS)
    assert world.names("something blue")[0] == "blue.txt"


@pytest.mark.parametrize("by", ["id", "external id"])
def test_more_like_this_finds_others_and_never_itself(world: World, by: str) -> None:
    world.add(COLOURS | WORDS | {"rose.png": (220, 40, 40)})
    key = world.id_of("red.png") if by == "id" else "red.png"
    names = world.names(Like(key), limit=100)
    assert "red.png" not in names
    assert set(names) == set(COLOURS | WORDS | {"rose.png": RED}) - {"red.png"}
    assert {names[0], names[1]} == {"rose.png", "red.txt"}  # the best image and the best text


def test_more_like_a_long_text_uses_all_of_its_segments(world: World) -> None:
    world.add({"both": "red " * 300 + "blue " * 300, "mixed": "red blue", "red": "red", "green": "green"})
    assert len(world.store.of_assets(world.parts.catalogue.serving("c"), [world.id_of("both")])) > 1
    assert world.names(Like("both"))[0] == "mixed"


def test_an_asset_is_one_hit_with_its_best_segment(world: World) -> None:
    world.add({"long": "green " * 400 + "red " * 400, "short": "blue"})
    answer = world.ask("red")
    assert sorted(hit.external_id for hit in answer.hits) == ["long", "short"]
    match = next(m for m in answer.hits[0].matches if m.space == "colour")
    assert answer.hits[0].external_id == "long"
    assert match.ordinal > 0
    assert match.span is not None
    assert match.span.start > 0
    assert match.text is not None
    assert match.text.count("red") > match.text.count("green")
    assert answer.hits[0].text is not None


def test_a_long_text_does_not_crowd_the_others_out(world: World) -> None:
    world.add({"long": "red " * 20_000, "longer": "red " * 30_000, **{f"other-{i}": "red green" for i in range(12)}})
    assert len(world.store.of_assets(world.parts.catalogue.serving("c"), [world.id_of("long")])) > 60
    names = world.names(square(RED), limit=5)
    assert len(names) == len(set(names)) == 5
    assert set(names[:2]) == {"long", "longer"}


def test_a_filter_by_declared_fields_holds_for_every_hit(world: World) -> None:
    world.add({"a": "red", "b": RED}, metadata={"kind": "x", "price": 3.5, "note": "two cats"})
    world.add({"d": "red red", "e": (250, 0, 0)}, metadata={"kind": "y", "price": 9.0, "note": "a dog"})
    filters: list[Filter] = [
        Eq("kind", "x"),
        Range("price", lt=5.0),
        TextMatch("note", "cats"),
        And((Eq("kind", "x"), Range("price", gt=1.0))),
        Not(Eq("kind", "y")),
    ]
    for where in filters:
        assert sorted(world.names("red", where=where)) == ["a", "b"], where
        assert sorted(world.names(Like("d"), where=where)) == ["a", "b"], where


def test_limit_cuts_the_same_order(world: World) -> None:
    world.add({f"t{i:02}": "red " * (i + 1) + "green" for i in range(20)})
    everything = world.names("red", limit=20)
    assert len(everything) == 20
    for limit in (1, 3, 19):
        assert world.names("red", limit=limit) == everything[:limit]


def test_modalities_limit_what_is_found(world: World) -> None:
    world.add(COLOURS | WORDS)
    assert {hit.modality for hit in world.ask("red", modalities=IMAGES).hits} == IMAGES
    assert {hit.modality for hit in world.ask("red", modalities=TEXTS).hits} == TEXTS
    assert {hit.modality for hit in world.ask(square(RED)).hits} == IMAGES | TEXTS


def test_ties_have_one_order(world: World) -> None:
    world.add({f"t{i}": "red" for i in range(12)})
    hits = world.ask("red", limit=12).hits
    by_id = sorted(hits, key=lambda hit: (-hit.score, str(hit.asset)))
    assert list(hits) == by_id
    assert [hit.external_id for hit in hits] == world.names("red", limit=12)


def test_a_tie_between_modalities_is_broken_by_the_asset(world: World) -> None:
    world.add({"a.png": RED, "b.txt": "a colour: green"})
    first = world.ask("nothing known").hits
    assert first[0].score == first[1].score
    assert [str(hit.asset) for hit in first] == sorted(str(hit.asset) for hit in first)


def test_modalities_interleave_by_rank_though_their_cosines_do_not_compare(world: World) -> None:
    # every text is nearer to the query than any image, as the modality gap has it
    texts: Things = {f"near-{i}": "red " * 9 for i in range(6)}
    images: Things = {f"far-{i}.png": (90, 120, 120) for i in range(6)}
    world.add(texts | images)
    hits = world.ask(square(RED), limit=12).hits
    for at in range(0, 12, 2):
        assert {hits[at].modality, hits[at + 1].modality} == IMAGES | TEXTS
        assert hits[at].matches[0].rank == hits[at + 1].matches[0].rank == at // 2 + 1


def test_another_tenants_assets_are_never_returned(world: World) -> None:
    world.add(COLOURS | WORDS)
    world.add({"theirs.txt": "red", "theirs.png": RED, "red.txt": "red"}, tenant=OTHER)
    mine = {world.id_of(name) for name in COLOURS | WORDS}
    queries: list[str | Content | Like] = ["red", "cat", square(RED), Like("red.png"), Like("red.txt")]
    for query in queries:
        hits = world.ask(query, limit=100).hits
        assert hits
        assert {hit.asset for hit in hits} <= mine, query
        theirs = world.ask("red", tenant=OTHER, limit=100).hits
        assert len(theirs) == 3
        assert not {hit.asset for hit in theirs} & mine


def test_another_tenants_asset_cannot_be_the_query(world: World) -> None:
    world.add(COLOURS)
    world.add({"theirs.txt": "red"}, tenant=OTHER)
    for key in ("theirs.txt", world.id_of("theirs.txt", OTHER)):
        with pytest.raises(NoSuchAsset):
            world.ask(Like(key))


class Watched(MemoryStore):
    """A store that remembers what it was asked."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner, self.asked = inner, list[Nearest]()

    def search(self, index: Any, queries: Sequence[Nearest]) -> Any:
        self.asked += queries
        return self._inner.search(index, queries)

    def count(self, index: Any, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        return self._inner.count(index, scope, where, exact=exact)


def test_the_words_are_silent_when_none_is_known_and_heard_when_one_is(world: World) -> None:
    world.add(WORDS | {"cat.txt": "a cat"})
    world.parts.__dict__["store"] = watched = Watched(world.store)
    assert set(world.ask("zebra").encoders) == {"colour"}
    assert not any(query.space.sparse for query in watched.asked)
    said = world.ask("a cat")
    assert set(said.encoders) == {"colour", "words"}
    assert said.hits[0].external_id == "cat.txt"
    assert {match.space for match in said.hits[0].matches} == {"colour", "words"}


def test_every_query_of_the_store_carries_the_tenant(world: World) -> None:
    world.add(WORDS)
    world.parts.__dict__["store"] = watched = Watched(world.store)
    world.ask("a red cat")
    assert watched.asked
    assert all(query.scope == Scope(tenant=ME, contents=query.scope.contents) for query in watched.asked)


def test_a_query_is_one_trip_to_the_store(world: World) -> None:
    world.add(WORDS | COLOURS)
    calls: list[str] = []
    world.parts.__dict__["store"] = Flaky(world.store, calls.append)
    world.ask("a red cat")
    world.ask("a red cat")
    assert [name for name in calls if name != "count"] == ["search", "search"]
    assert calls[-2:] == ["search", "search"], "what was counted is known for a while"


def test_an_answer_says_whose_judgement_it_is_and_how_long_each_stage_took(world: World) -> None:
    world.add(WORDS)
    answer = world.ask("red")
    assert answer.encoders == {"colour": "toy", "words": "toy"}
    assert set(answer.seconds) == {"encode", "store", "fuse", "rerank", "total"}
    assert all(spent >= 0 for spent in answer.seconds.values())
    assert answer.seconds["total"] == max(answer.seconds.values())


def test_a_hit_needs_no_second_look_up(world: World) -> None:
    world.add({"a.txt": "red"}, metadata={"kind": "x", "anything": [1, None]})
    hit: Hit = world.ask("red").hits[0]
    asset = world.parts.catalogue.asset(ME, "c", "a.txt")
    assert (hit.asset, hit.digest, hit.media_type) == (asset.id, asset.digest, asset.media_type)
    assert hit.metadata == asset.metadata == {"kind": "x", "anything": [1, None]}
    assert hit.text == "red"


def test_an_empty_collection_answers_with_nothing(world: World) -> None:
    assert world.names("red") == []


def test_before_the_first_asset_is_indexed_there_is_nothing_to_find_and_no_error(world: World) -> None:
    world.add({"new.txt": "red"}, index=False)
    world.parts.__dict__["store"] = MemoryStore()
    assert world.names("red") == []
    with pytest.raises(BadQuery, match="not indexed yet"):
        world.ask(Like("new.txt"))


@pytest.mark.parametrize("query", ["red", Like("red.txt")])
def test_an_index_that_was_lost_is_not_taken_for_an_empty_one(world: World, query: str | Like) -> None:
    world.add(WORDS)
    world.parts.__dict__["store"] = MemoryStore()
    with pytest.raises(IndexDrifted, match="3 assets of 'c' are indexed"):
        world.ask(query)


@pytest.mark.parametrize("text", ["", "  \n\t", "\u3000"])
def test_an_empty_text_is_refused(world: World, text: str) -> None:
    with pytest.raises(BadQuery, match="empty"):
        world.ask(text)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
def test_a_limit_out_of_bounds_is_refused(world: World, limit: int) -> None:
    with pytest.raises(BadQuery, match="1 to 1000"):
        world.ask("red", limit=limit)


def test_the_largest_limit_is_served(world: World) -> None:
    world.add(WORDS)
    assert len(world.names("red", limit=MAX_LIMIT)) == 3


def test_no_modality_is_refused(world: World) -> None:
    with pytest.raises(BadQuery, match="modality"):
        world.ask("red", modalities=frozenset())


def test_a_modality_that_no_space_has_is_refused(world: World) -> None:
    with pytest.raises(NoSpaceFor, match="audio"):
        world.ask("red", modalities=frozenset({Modality.AUDIO}))


def test_a_query_that_no_space_embeds_is_refused(world: World) -> None:
    with pytest.raises(NoSpaceFor, match="audio"):
        world.ask(Audio(np.zeros(8, np.float32), 8000))


@pytest.mark.parametrize(
    "where", [Eq("colour", "x"), Not(Eq("colour", "x")), And((Eq("kind", "x"), Eq("colour", "x")))]
)
def test_a_filter_on_an_undeclared_field_lists_the_declared(world: World, where: Filter) -> None:
    with pytest.raises(BadFilter, match=r"'colour'.*kind \(keyword\), note \(text\), price \(float\)"):
        world.ask("red", where=where)


@pytest.mark.parametrize("where", [Eq("kind", 3), Range("price", lt="cheap"), Range("kind", lt=3.0), Eq("price", 3.0)])  # type: ignore[arg-type]  # a wrong type is the point
def test_a_filter_of_the_wrong_type_says_the_declared_one(world: World, where: Filter) -> None:
    with pytest.raises(BadFilter, match=r"is declared (keyword|float)"):
        world.ask("red", where=where)


def test_an_unknown_collection_is_refused(world: World) -> None:
    with pytest.raises(NoSuchCollection, match="nowhere"):
        world.ask("red", collection="nowhere")


def test_more_like_what_is_not_there_is_refused(world: World) -> None:
    world.add(WORDS)
    for key in ("nobody", AssetId(uuid4())):
        with pytest.raises(NoSuchAsset):
            world.ask(Like(key))


def test_more_like_what_is_not_yet_indexed_is_refused(world: World) -> None:
    world.add({"new.txt": "red"}, index=False)
    with pytest.raises(BadQuery, match=r"'new\.txt' is not indexed yet"):
        world.ask(Like("new.txt"))
