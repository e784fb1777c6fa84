"""Candidates compared anew: where that says nothing new, an order stays as it was, however it was fused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.types import Modality
from retrieval.calibration import NO_CURVES, Curve, Curves
from retrieval.request import Fusion
from retrieval.rerank.late import Late
from retrieval.rerank.rescoring import Exact
from retrieval.stages import Reranker
from tests.worlds import World

WORDS = ("red", "green", "blue", "cat", "dog", "rocket", "coffee")
QUERIES = ("red cat", "blue dog rocket", "green", "coffee red red blue")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Texts and pictures, more than a stage looks at or a list holds, in two spaces, of which one has both."""
    made = World(tmp_path_factory.mktemp("rescored"))
    draw = random.Random(5)
    made.add({f"t{n:03}": " ".join(draw.choices(WORDS, k=9)) for n in range(70)})
    made.add({f"p{n:03}": (draw.randrange(256), draw.randrange(256), draw.randrange(256)) for n in range(24)})
    yield made
    made.parts.close()


@pytest.fixture(scope="module")
def curves(world: World) -> Curves:
    """Of every space and content another, rising and in part level."""
    made: dict[Any, Curve] = {}
    for at, space in enumerate(world.parts.catalogue.serving("c").spaces):
        for content in space.modalities:
            most = 1.0 + 2.0 * space.sparse
            x = most * np.array([0.0, 0.5, 0.9, 1.0])
            made[space.fingerprint, Modality.TEXT, content] = Curve(x, np.array([0.0, 0.1, 0.4 + 0.1 * at, 0.9]))
    return made


def late(world: World) -> Late:
    return Late(encoder_of=lambda space: world.parts.encoders.of_space("toy", space), depth=12)


@pytest.mark.parametrize("fusion", [None, *Fusion], ids=str)
@pytest.mark.parametrize("calibrated", [True, False])
def test_what_was_compared_exactly_keeps_its_order_and_its_relevance(
    world: World, curves: Curves, fusion: Fusion | None, calibrated: bool
) -> None:
    said: dict[str, Any] = {
        "limit": 16,
        "exact": True,
        "weights": {"words": 0.1},
        "fusion": fusion,
        "curves": curves if calibrated else NO_CURVES,
    }
    stages: list[Reranker] = [Exact(depth=12), late(world)]
    for query in QUERIES:
        plain = world.ask(query, **said).hits
        assert len({hit.modality for hit in plain[:12]}) > 1
        for stage in stages:
            after = world.ask(query, stages=(stage,), **said).hits
            assert [hit.external_id for hit in after] == [hit.external_id for hit in plain], (query, stage.name)
            assert [hit.relevance for hit in after] == pytest.approx([hit.relevance for hit in plain], abs=1e-6)
            ranks = [[match.rank for match in hit.matches] for hit in after]
            assert ranks == [[match.rank for match in hit.matches] for hit in plain]


def test_relevance_is_read_off_the_exact_scores(world: World, curves: Curves, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {"limit": 12, "curves": curves}
    right = {hit.asset: hit for hit in world.ask("red cat", **said).hits}
    search = world.store.search

    def halved(index: Any, queries: Any) -> Any:
        return [[replace(point, score=point.score / 2) for point in one] for one in search(index, queries)]

    monkeypatch.setattr(world.store, "search", halved)
    off = world.ask("red cat", **said).hits
    mended = world.ask("red cat", stages=(Exact(depth=12),), **said).hits
    assert any(hit.relevance != right[hit.asset].relevance for hit in off if hit.asset in right)
    both = [hit for hit in mended if hit.asset in right]
    assert both
    for hit in both:
        assert hit.relevance == pytest.approx(right[hit.asset].relevance, abs=1e-6)
        assert [match.probability for match in hit.matches] == pytest.approx(
            [match.probability for match in right[hit.asset].matches], abs=1e-6
        )
