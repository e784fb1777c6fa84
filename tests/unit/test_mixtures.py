"""Mixtures: this, but with that and without the other, in the space that knows all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadQuery
from core.spaces import Sparse
from core.types import Image, Text
from retrieval.request import InSpace, Like, Mixture, Part
from tests.worlds import BLUE, GREEN, RED, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def square(colour: tuple[int, int, int]) -> Image:
    return Image(np.full((8, 8, 3), colour, np.uint8))


def test_a_picture_with_words_finds_what_is_both(world: World) -> None:
    world.add({"red.png": RED, "blue.png": BLUE, "violet.png": (128, 0, 128), "green.png": GREEN})
    names = world.names(Mixture((Part(square(RED)), Part(Text("blue")))))
    assert names[0] == "violet.png"
    assert names[-1] == "green.png"


def test_what_is_not_wanted_goes_down(world: World) -> None:
    world.add({"red.png": RED, "violet.png": (128, 0, 128), "brown.png": (128, 128, 0)})
    assert world.names(Mixture((Part(Text("red")), Part(Text("blue"), -0.5))))[-1] == "violet.png"
    assert world.names(Mixture((Part(Text("red")), Part(Text("green"), -0.5))))[-1] == "brown.png"


def test_an_asset_of_a_mixture_is_no_answer_to_it(world: World) -> None:
    world.add({"red.png": RED, "blue.png": BLUE, "violet.png": (128, 0, 128)})
    assert "red.png" not in world.names(Mixture((Part(Like("red.png")), Part(Text("blue")))))


def test_weights_scale_and_order_does_not_matter(world: World) -> None:
    world.add({f"{n}.png": (n * 40, 0, 240 - n * 40) for n in range(6)})
    once = Mixture((Part(Text("red"), 0.25), Part(Text("blue"), 0.75)))
    twice = Mixture((Part(Text("blue"), 1.5), Part(Text("red"), 0.5)))
    assert world.names(once) == world.names(twice)


def test_parts_that_cancel_each_other_out_are_an_error(world: World) -> None:
    world.add({"red.png": RED})
    with pytest.raises(BadQuery, match="cancel"):
        world.ask(Mixture((Part(Text("red")), Part(Text("red"), -1.0))))


def test_a_vector_of_a_space_asks_as_what_it_was_made_of(world: World) -> None:
    world.add({"red.png": RED, "blue.png": BLUE})
    encoder = world.parts.encoders.of_profile("toy")[0]
    vector = encoder.encode_query(Text("blue"))
    assert not isinstance(vector, Sparse)
    assert world.names(InSpace(encoder.space.name, 7.0 * vector))[0] == "blue.png"
    for wrong in (vector[:-1], np.full_like(vector, np.nan), np.zeros_like(vector), np.stack([vector, vector])):
        with pytest.raises(BadQuery):
            world.ask(InSpace(encoder.space.name, wrong))


def test_pages_are_cut_from_one_order(world: World) -> None:
    world.add({f"t{i:02}": "red " * (i + 1) + "green" for i in range(30)})
    everything = world.names("red", limit=30)
    assert [name for at in range(0, 30, 7) for name in world.names("red", limit=7, offset=at)] == everything
