"""An encoder that breaks a promise is caught at once, and says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from core.encoders.checked import Checked
from core.errors import EncoderBroke, NoSpaceFor, StoreDown
from core.spaces import EmbeddingSpace, Metric, Sparse
from core.types import Content, Image, Modality, Text
from tests.doubles import ColourEncoder, WordEncoder

PICTURE = Image(np.full((8, 8, 3), 200, np.uint8))


@dataclass
class Says:
    """An encoder that answers as it is told."""

    space: EmbeddingSpace
    answer: Callable[[], Any]
    pixels: int = 7
    asked: list[Content] = field(default_factory=list)

    def encode(self, contents: Sequence[Content]) -> Any:
        self.asked += contents
        return self.answer()

    def encode_query(self, query: Content) -> Any:
        return self.encode([query])


DENSE, SPARSE = ColourEncoder().space, WordEncoder().space
UNIT = np.array([1, 0, 0, 0], np.float32)


def sparse(indices: Sequence[int], values: Sequence[float]) -> Sparse:
    return Sparse(np.array(indices, np.uint32), np.array(values, np.float32))


def test_what_keeps_its_promises_is_passed_on() -> None:
    for inner, content in ((ColourEncoder(), PICTURE), (WordEncoder(), Text("a cat"))):
        checked = Checked(inner)
        assert checked.space == inner.space
        assert checked.wants.contents == inner.space.modalities
        assert len(checked.encode([content, content])) == 2
        checked.encode_query(content)
    assert len(Checked(ColourEncoder()).encode([])) == 0
    assert len(Checked(WordEncoder()).encode_query(Text("nothing known"))) == 0


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (UNIT[None].repeat(1, 0), "2 contents, 1 vectors"),
        (UNIT[None].repeat(3, 0), "2 contents, 3 vectors"),
        (UNIT[None].repeat(2, 0)[:, :3], r"\(2, 3\)"),
        (UNIT[None].repeat(2, 0).astype(np.float64), "float64"),
        (np.stack([UNIT, UNIT * np.nan]), "not finite"),
        (np.stack([UNIT, np.full(4, np.inf, np.float32)]), "not finite"),
        (np.stack([UNIT, UNIT * np.float32(1.01)]), "not of unit length"),
        (np.stack([UNIT, UNIT * 0]), "not of unit length"),
    ],
)
def test_bad_rows_are_an_encoder_that_broke(rows: Any, why: str) -> None:
    with pytest.raises(EncoderBroke, match=f"colour.*{why}"):
        Checked(Says(DENSE, lambda: rows)).encode([Text("a"), Text("b")])


@pytest.mark.parametrize("vector", [UNIT[:3], UNIT * 2, UNIT * np.nan, UNIT.astype(np.float64), UNIT[None]])
def test_a_bad_query_vector_is_an_encoder_that_broke(vector: Any) -> None:
    with pytest.raises(EncoderBroke):
        Checked(Says(DENSE, lambda: vector)).encode_query(Text("a"))


@pytest.mark.parametrize(
    "vector",
    [
        sparse([1, 0], [1, 1]),
        sparse([1, 1], [1, 1]),
        sparse([0, SPARSE.dim], [1, 1]),
        sparse([0, 1], [1]),
        sparse([0], [np.nan]),
        UNIT,
    ],
)
def test_a_bad_sparse_vector_is_an_encoder_that_broke(vector: Any) -> None:
    with pytest.raises(EncoderBroke, match="words"):
        Checked(Says(SPARSE, lambda: [sparse([0], [1]), vector])).encode([Text("a"), Text("b")])
    with pytest.raises(EncoderBroke, match="words"):
        Checked(Says(SPARSE, lambda: vector)).encode_query(Text("a"))


def test_dot_products_need_no_unit_length() -> None:
    space = EmbeddingSpace(
        name="dot",
        model="toy",
        revision="1",
        dim=4,
        metric=Metric.DOT,
        modalities=frozenset({Modality.TEXT}),
        recipe="as told",
    )
    assert len(Checked(Says(space, lambda: UNIT[None] * 3)).encode([Text("a")])) == 1


def test_what_a_model_raises_is_an_encoder_that_broke() -> None:
    def choke() -> Any:
        raise ZeroDivisionError("by zero")

    for ask in (lambda e: e.encode([Text("a")]), lambda e: e.encode_query(Text("a"))):
        with pytest.raises(EncoderBroke, match=r"colour \(toy\): ZeroDivisionError: by zero") as caught:
            ask(Checked(Says(DENSE, choke)))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_fault_and_an_interrupt_pass_as_they_are() -> None:
    def down() -> Any:
        raise StoreDown("a remote encoder")

    def stop() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(StoreDown):
        Checked(Says(DENSE, down)).encode([Text("a")])
    with pytest.raises(KeyboardInterrupt):
        Checked(Says(DENSE, stop)).encode([Text("a")])


def test_content_of_another_modality_never_reaches_the_model() -> None:
    inner = Says(SPARSE, lambda: [])
    for ask in (lambda e: e.encode([Text("a"), PICTURE]), lambda e: e.encode_query(PICTURE)):
        with pytest.raises(NoSpaceFor, match="words embeds text only"):
            ask(Checked(inner))
    assert inner.asked == []
