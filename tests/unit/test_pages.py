"""Pages of one question: cut from one order, however deep."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from core.types import Modality
from retrieval.calibration import Curve, Curves
from retrieval.request import Fusion, Hit
from retrieval.stages import Asked
from tests.worlds import World

WORDS = ("red", "green", "blue", "dog", "rocket")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """More things than one step of asking holds, which two spaces put in different orders."""
    made = World(tmp_path_factory.mktemp("pages"))
    draw = random.Random(7)
    made.add({f"t{n:03}": " ".join(draw.choices(WORDS, k=8)) for n in range(56)})
    made.add({f"word{n:02}": "red cat " + "green " * (3 + n % 5) for n in range(60)})
    made.add({f"red{n:02}": "red " * (3 + n) for n in range(14)})
    yield made
    made.parts.close()


@pytest.mark.parametrize("fusion", [None, Fusion.DBSF])
@pytest.mark.parametrize("size", [3, 10])
def test_pages_of_any_depth_are_cut_from_one_order(world: World, size: int, fusion: Fusion | None) -> None:
    pages = [world.ask("red cat", limit=size, offset=at, fusion=fusion).hits for at in range(0, 130, size)]
    order = [hit for page in pages for hit in page]
    assert len({hit.asset for hit in order}) == len(order) == 130
    assert [hit.score for hit in order] == sorted((hit.score for hit in order), reverse=True)
    for at in (1, 14, 97):
        between = world.ask("red cat", limit=size, offset=at, fusion=fusion).hits
        assert [hit.asset for hit in between] == [hit.asset for hit in order[at : at + size]]


class Same:
    """A stage that leaves the order as it is."""

    name, depth = "same", 10

    def rerank(self, hits: Sequence[Hit], _: Asked) -> Sequence[Hit]:
        return hits


@pytest.fixture(scope="module")
def curves(world: World) -> Curves:
    """Nearly of colours alone: what has most of the words, and stands first by ranks, is not likely."""
    spaces = world.parts.catalogue.serving("c").spaces
    read = {"colour": ([0.0, 1.0], [0.0, 1.0]), "words": ([0.0, 9.0], [0.0, 0.1])}
    return {
        (space.fingerprint, Modality.TEXT, content): Curve(*map(np.array, read[space.name]))
        for space in spaces
        for content in space.modalities
    }


@pytest.mark.parametrize("fusion", [None, Fusion.RRF])
@pytest.mark.parametrize("stages", [(), (Same(),)])
def test_pages_of_what_is_relevant_enough_are_full_as_long_as_there_is_more(
    world: World, curves: Curves, fusion: Fusion | None, stages: tuple[Same, ...]
) -> None:
    size = 10
    said: dict[str, Any] = {
        "curves": curves,
        "fusion": fusion,
        "stages": stages,
        "min_score": 0.16,
        "weights": {"words": 4.0},
    }
    every = world.ask("red cat", limit=1000, **(said | {"min_score": None})).hits
    enough = {hit.asset for hit in every if hit.relevance is not None and hit.relevance >= 0.16}
    assert 14 <= len(enough) < 60
    pages = [world.ask("red cat", limit=size, offset=at, **said).hits for at in range(0, 60, size)]
    order = [hit for page in pages for hit in page]
    assert [len(page) for page in pages[: len(enough) // size]] == [size] * (len(enough) // size)
    assert len(order) == len(enough)
    assert {hit.asset for hit in order} == enough
    assert [hit.score for hit in order] == sorted((hit.score for hit in order), reverse=True)


def test_where_nothing_more_can_be_relevant_enough_the_store_is_not_asked_again(
    world: World, curves: Curves, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    search = world.store.search

    def counted(index: Any, queries: Any) -> Any:
        asked.append(len(queries))
        return search(index, queries)

    monkeypatch.setattr(world.store, "search", counted)
    assert not world.ask("red cat", limit=3, min_score=0.9, curves=curves).hits
    assert len(asked) == 1
