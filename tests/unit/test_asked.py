"""Queries as vectors: what several ask by is embedded together, and each gets what it would have got alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.encoders.checked import Checked
from core.spaces import Vectors
from core.types import Content, Image, Text
from retrieval.asked import embedding
from retrieval.request import InSpace, Like, Mixture, Part
from tests.doubles import ColourEncoder
from tests.worlds import RED


class Counting(ColourEncoder):
    """Notes what it embeds in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[Content]] = []

    def encode_queries(self, queries: Sequence[Content]) -> Vectors:
        self.calls.append(list(queries))
        return self.encode(queries)


def test_what_several_queries_ask_by_is_embedded_together_once() -> None:
    inner = Counting()
    encoder, space = Checked(inner), inner.space
    red, again, blue, picture = Text("red"), Text("red"), Text("blue"), Image(np.full((8, 8, 3), RED, np.uint8))
    mixture = Mixture((Part(picture), Part(blue, -0.5), Part(Like("a.png"))))
    vector = InSpace(space=space.name, vector=np.ones(space.dim, np.float32))
    embed = embedding([red, mixture, vector, Like("b.png"), again], lambda _: encoder)
    assert not inner.calls  # nothing is embedded that nobody wants in the end
    rows = {id(one): embed(space, one) for one in (blue, picture, red, again, blue)}
    assert inner.calls == [[red, blue, again], [picture]]
    for one in (red, again, blue, picture):
        np.testing.assert_array_equal(rows[id(one)], encoder.encode_query(one))
