"""What was liked by somebody, and what is recommended then, of a collection with toy encoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from core.fields import FieldType
from retrieval.calibration import Curves
from retrieval.history import Example
from retrieval.recommend import recommend
from retrieval.recommendation import Recommendation, RecommendRequest
from retrieval.request import Like
from tests import worlds
from tests.worlds import ME, World

FIELDS = {
    "brand": FieldType.KEYWORD,
    "price": FieldType.FLOAT,
    "when": FieldType.DATETIME,
    "new": FieldType.BOOL,
}
NOW = datetime.now(UTC)


@contextmanager
def opened(data: Path) -> Iterator[World]:
    """An empty collection with these fields."""
    with patch.object(worlds, "FIELDS", FIELDS):
        made = World(data)
    yield made
    made.parts.close()


def liked(*keys: str, weight: float = 1.0) -> tuple[Example, ...]:
    return tuple(Example(Like(key), key, weight) for key in keys)


def request(*examples: Example, **more: Any) -> RecommendRequest:
    """By colours alone, unless it is said otherwise: words are alike all or nothing."""
    said = {"tenant": ME, "collection": "c", "examples": examples, "weights": {"words": 0.0}}
    return RecommendRequest(**{**said, **more})


def answer(world: World, *examples: Example, curves: Curves | None = None, **more: Any) -> Recommendation:
    parts = world.parts
    return recommend(
        request(*examples, **more),
        catalogue=parts.catalogue,
        store=parts.store,
        encoder_of=lambda space: parts.encoders.of_space("toy", space),
        curves_of=lambda _: curves or {},
    )


def names(made: Recommendation) -> list[str]:
    return [hit.external_id for hit in made.hits]


def colours(world: World, count: int = 6) -> None:
    """Texts from red to blue by steps, r0 the reddest."""
    for at in range(count):
        world.add({f"r{at}": " ".join(["red"] * (count - at) + ["blue"] * at)})
