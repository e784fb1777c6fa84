"""Pages of one question: cut from one order, however deep."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from retrieval.request import Fusion
from tests.worlds import World

WORDS = ("red", "green", "blue", "cat", "dog", "rocket")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """More things than one step of asking holds, which two spaces put in different orders."""
    made = World(tmp_path_factory.mktemp("pages"))
    draw = random.Random(7)
    made.add({f"t{n:03}": " ".join(draw.choices(WORDS, k=8)) for n in range(130)})
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
