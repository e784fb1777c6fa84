"""What is decoded and not encoded yet is bounded by bytes, whatever the size and the number of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from core.records import State
from core.types import Content, Image, Piece
from tests.doubles import ColourEncoder
from tests.worlds import ME, World
from workers import decoding, embedding

A_PICTURE = 8 * 8 * 3  # bytes, decoded
SHADES = {f"{shade}": (shade, 0, 0) for shade in range(12)}


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Callable[[int], World]]:
    """A world in which a lane may hold so many pictures."""
    made: list[World] = []

    def world(pictures: int) -> World:
        made.append(World(tmp_path, decoded_bytes=pictures * A_PICTURE))
        return made[-1]

    yield world
    for one in made:
        one.parts.close()


class Held:
    """How many pictures were alive when another was about to be decoded, and how many were encoded together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: list[int] = []
        self.together: list[int] = []
        self._alive: WeakSet[Content] = WeakSet()
        decode, encode = decoding.decode, ColourEncoder.encode

        def decoded(*args: Any, **more: Any) -> Iterator[Piece]:
            self.before.append(len(self._alive))
            for piece in decode(*args, **more):
                self._alive |= {segment.content for segment in piece.segments}
                yield piece

        def encoded(encoder: ColourEncoder, contents: Sequence[Content]) -> Any:
            self.together.append(sum(isinstance(content, Image) for content in contents))
            return encode(encoder, contents)

        monkeypatch.setattr(embedding, "decode", decoded)
        monkeypatch.setattr(ColourEncoder, "encode", encoded)


@pytest.mark.parametrize(("runs", "pictures"), [(1, 12), (4, 3), (12, 1)])
def test_a_lane_encodes_before_it_holds_more_than_it_may(
    holding: Callable[[int], World], monkeypatch: pytest.MonkeyPatch, runs: int, pictures: int
) -> None:
    held, world = Held(monkeypatch), holding(pictures)
    world.add(SHADES)
    assert held.together == [pictures] * runs
    assert held.before == [*range(pictures)] * runs, "what was encoded was held on"
    assert {state for _, state in world.parts.catalogue.assets(ME, "c")} == {State.INDEXED}
    assert len(world.store.scroll(world.parts.catalogue.serving("c"))) == len(SHADES)


def test_a_picture_that_fails_costs_no_other_of_any_run(
    holding: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, row = holding(2), ColourEncoder._row

    def fails(encoder: ColourEncoder, content: Content) -> list[float]:
        if isinstance(content, Image) and content.pixels[0, 0, 0] == 5:
            raise RuntimeError("the model choked")
        return row(encoder, content)

    monkeypatch.setattr(ColourEncoder, "_row", fails)
    world.add(SHADES)
    states = {asset.external_id: state for asset, state in world.parts.catalogue.assets(ME, "c")}
    assert states.pop("5") is State.FAILED
    assert set(states.values()) == {State.INDEXED}
    assert len(states) == len(SHADES) - 1
