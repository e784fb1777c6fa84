"""Ranked lists to hits: one order, and how likely each is to be relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import BadQuery
from core.points import Found, span_of
from core.spaces import EmbeddingSpace
from core.types import Digest, Modality, Reading
from retrieval.asked import asset_of
from retrieval.calibration import STEADY, Curve, Curves
from retrieval.fusion import dbsf, rrf
from retrieval.lists import Ranked
from retrieval.request import Fusion, Hit, Match, SearchRequest


def fused(request: SearchRequest, lists: Sequence[Ranked], curves: Curves, most: int | None = None) -> list[Hit]:
    """The hits of the lists in one order, ties by id: the first `most`, or all; of a request without stages, which may
    come to know better, those that are relevant enough. Raises BadQuery for a least relevance where none is known."""
    scored: dict[str, list[tuple[str, float]]] = {}
    known: dict[Modality, dict[str, list[tuple[str, float]]]] = {}
    unknown = False
    for one in lists:
        probabilities = _probabilities(one, curves)
        scores = [point.score for point in one.points] if probabilities is None else probabilities.tolist()
        assets = [point.payload["asset"] for point in one.points]
        scored[one.name] = held = list(zip(assets, scores, strict=True))
        if probabilities is None:
            unknown |= bool(one.points)
        else:
            known.setdefault(one.content, {})[one.name] = held
    if request.min_score is not None:
        must_be_known(lists, curves)
    weights = {one.name: request.weights.get(one.space.name, 1.0) for one in lists}
    relevance = relevances(known, weights)
    # Measured: docs/decisions/0023-relevance-from-e-values.md.
    fusion = request.fusion or (Fusion.RRF if unknown else Fusion.WEIGHTED)
    order = _ordered(fusion, lists, scored, weights, None if unknown else relevance)
    if request.min_score is not None and not request.stages:
        order = [(asset, score) for asset, score in order if relevance.get(asset, -1.0) >= request.min_score]
    shown = dict.fromkeys([asset for asset, _ in order[:most]])  # what is not shown need not be told of
    matches: dict[str, list[Match]] = {asset: [] for asset in shown}
    points: dict[str, Found] = {}
    for one in lists:
        calibrated = one.name in known.get(one.content, ())
        for rank, (point, (asset, score)) in enumerate(zip(one.points, scored[one.name], strict=True), start=1):
            if asset in shown:
                chance = score if calibrated else None
                matches[asset].append(match_of(one.space, one.content, point, rank, chance))
                points.setdefault(asset, point)
    return [_hit(points[asset], score, matches[asset], relevance.get(asset)) for asset, score in order[:most]]


def _ordered(
    fusion: Fusion,
    lists: Sequence[Ranked],
    scored: Mapping[str, Sequence[tuple[str, float]]],
    weights: Mapping[str, float],
    relevance: Mapping[str, float] | None,
) -> list[tuple[str, float]]:
    """`relevance` of all assets, or None: then scores are not on one scale."""
    by_rank = rrf({name: [asset for asset, _ in held] for name, held in scored.items()}, weights)
    if fusion is Fusion.RRF:
        return by_rank
    if fusion is Fusion.WEIGHTED and relevance is not None:  # curves have level parts: there ranks decide
        return sorted(((asset, relevance.get(asset, 0.0)) for asset, _ in by_rank), key=lambda item: -item[1])
    contents: dict[str, set[Modality]] = {}
    for one in lists:
        for asset, _ in scored[one.name]:
            contents.setdefault(asset, set()).add(one.content)
    could = {asset: {one.name for one in lists if one.content in held} for asset, held in contents.items()}
    return dbsf(scored, weights, could)


def relevances(
    known: Mapping[Modality, Mapping[str, Sequence[tuple[str, float]]]], weights: Mapping[str, float]
) -> dict[str, float]:
    """How likely each asset is to be relevant, from the probabilities of each list by the modality of its segments.

    Of segments of one modality the lists' weighted mean (a linear opinion pool), one that does not have the asset
    saying 0; of an asset with segments of several, a picture with a caption, the best: what is said in one place need
    not be said in all.
    """
    out: dict[str, float] = {}
    for lists in known.values():
        total = sum(weights[name] for name in lists)
        pooled: dict[str, float] = {}
        for name in sorted(lists):  # float addition depends on its order, and the answer must not
            for asset, probability in lists[name]:
                pooled[asset] = pooled.get(asset, 0.0) + weights[name] / total * probability
        for asset, probability in pooled.items():
            out[asset] = max(out.get(asset, 0.0), min(1.0, probability))
    return out


def may_follow(
    request: SearchRequest, lists: Sequence[Ranked], cut: Sequence[bool], curves: Curves, hits: Sequence[Hit]
) -> bool:
    """Whether any asset that is not among the hits may be relevant enough, were the lists longer that are `cut`: what
    such a list does not have may be as likely there as its last."""
    assert request.min_score is not None
    shown = {str(hit.asset) for hit in hits}
    contents: dict[Modality, list[tuple[float, dict[str, float], float]]] = {}
    for one, more in zip(lists, cut, strict=True):
        probabilities = _probabilities(one, curves)
        if probabilities is not None:
            held = dict(zip((point.payload["asset"] for point in one.points), probabilities.tolist(), strict=True))
            rest = float(probabilities[-1]) if more else 0.0
            contents.setdefault(one.content, []).append((request.weights.get(one.space.name, 1.0), held, rest))
    for each in contents.values():
        total = sum(weight for weight, _, _ in each)
        assets = {"", *(asset for _, held, _ in each for asset in held)} - shown  # "": one that no list has
        could = (sum(weight * held.get(asset, rest) for weight, held, rest in each) / total for asset in assets)
        if any(chance >= request.min_score for chance in could):
            return True
    return False


def must_be_known(lists: Sequence[Ranked], curves: Curves) -> None:
    """Raises BadQuery where nothing says how likely what was found of a modality is to be relevant."""
    known = {one.content for one in lists if _curve(one, curves) is not None}
    for one in lists:
        if one.points and one.content not in known:  # of what the collection has not nothing need be known
            raise BadQuery(
                f"how likely {one.content} is to be relevant to {one.asked.asked} is not known yet here: "
                "`quiver calibrate` finds out, or leave min_score out"
            )


def rough(lists: Sequence[Ranked], curves: Curves) -> list[str]:
    """What is to be known of the relevance of what was found, where it was fitted to few things."""
    few: dict[Modality, int] = {}
    for one in lists:
        curve = _curve(one, curves)
        if one.points and curve is not None and curve.things is not None and curve.things < STEADY:
            few[one.content] = max(curve.things, few.get(one.content, 0))
    return [
        f"relevance of {content} is rough: it is fitted to {count} of that kind, without judgements; from {STEADY} on "
        "it is steadier"
        for content, count in few.items()
    ]


def _curve(one: Ranked, curves: Curves) -> Curve | None:
    return curves.get((one.space.fingerprint, one.asked.asked, one.content))


def _probabilities(one: Ranked, curves: Curves) -> NDArray[np.float64] | None:
    curve = _curve(one, curves)
    return None if curve is None else curve(np.array([point.score for point in one.points], np.float64))


def match_of(space: EmbeddingSpace, content: Modality, point: Found, rank: int, probability: float | None) -> Match:
    """What a list says of an asset, by its best segment."""
    said = point.payload
    return Match(
        space=space.name,
        content=content,
        score=point.score,
        probability=probability,
        rank=rank,
        ordinal=int(said["ordinal"]),
        span=span_of(said),
        source=Reading(source) if (source := said.get("source")) else None,
        text=said.get("text"),
    )


def _hit(point: Found, score: float, matches: Sequence[Match], relevance: float | None) -> Hit:
    said = point.payload
    return Hit(
        asset=asset_of(said["asset"]),
        external_id=said["external_id"],
        modality=Modality(said["modality"]),
        media_type=said["media_type"],
        digest=Digest(said["digest"]),
        metadata=said["metadata"],
        score=score,
        matches=tuple(matches),
        relevance=relevance,
    )
