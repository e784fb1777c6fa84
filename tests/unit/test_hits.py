"""Lists to one order: by relevance where it is known, by ranks where it is not, and where it tells nothing apart."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import numpy as np

from core.points import Found
from core.spaces import EmbeddingSpace, Metric
from core.types import Modality, Tenant, Text
from retrieval.calibration import NO_CURVES, Curve, Curves
from retrieval.hits import fused
from retrieval.lists import Ranked
from retrieval.request import Fusion, SearchRequest
from retrieval.stages import AskedVector

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
LEVEL = Curve(np.array([0.0, 0.1]), np.array([0.0, 0.5]))  # from 0.1 on all is as likely
RISING = Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
ASKED = SearchRequest(tenant=Tenant("me"), collection="c", query=Text("a"))


def space(name: str) -> EmbeddingSpace:
    both = frozenset({TEXT, IMAGE})
    return EmbeddingSpace(name=name, model=name, revision="1", dim=2, metric=Metric.COSINE, modalities=both, recipe="")


def listed(name: str, scores: Mapping[int, float], content: Modality = IMAGE) -> Ranked:
    """Assets by number, best first."""
    said = {"external_id": "", "modality": "image", "media_type": "", "digest": "0" * 64, "metadata": {}, "ordinal": 0}
    points = [Found(UUID(int=n), score, {**said, "asset": str(UUID(int=n))}) for n, score in scores.items()]
    return Ranked(AskedVector(space(name), TEXT, np.zeros(2, np.float32)), content, points)


def curves(made: Curve, *names: str) -> Curves:
    return {(space(name).fingerprint, TEXT, content): made for name in names for content in (TEXT, IMAGE)}


def order(*lists: Ranked, known: Curves, fusion: Fusion | None = None) -> list[int]:
    asked = SearchRequest(tenant=ASKED.tenant, collection="c", query=ASKED.query, fusion=fusion)
    return [hit.asset.int for hit in fused(asked, lists, known)]


def test_a_lead_counts_once_relevance_is_known_and_ranks_until_then() -> None:
    lists = listed("one", {1: 0.9, 2: 0.2}), listed("two", {3: 0.13, 2: 0.12, 4: 0.11, 1: 0.1})
    assert order(*lists, known=NO_CURVES)[0] == order(*lists, known=curves(RISING, "one"))[0] == 2
    assert order(*lists, known=curves(RISING, "one", "two"))[0] == 1
    assert order(*lists, known=curves(RISING, "one", "two"), fusion=Fusion.RRF)[0] == 2


def test_what_is_equally_likely_keeps_the_order_of_its_scores() -> None:
    assert order(listed("one", {9: 0.9, 2: 0.8, 7: 0.7, 1: 0.05}), known=curves(LEVEL, "one")) == [9, 2, 7, 1]


def test_an_asset_stands_where_its_likeliest_kind_puts_it() -> None:
    pictures, captions = listed("one", {1: 0.5, 2: 0.1}), listed("one", {2: 0.8}, TEXT)
    hits = fused(ASKED, [pictures, captions], curves(RISING, "one"))
    assert [(hit.asset.int, hit.score, hit.relevance) for hit in hits] == [(2, 0.8, 0.8), (1, 0.5, 0.5)]
