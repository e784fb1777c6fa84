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
from retrieval.calibration import Curves
from retrieval.fusion import dbsf, rrf, weighted
from retrieval.lists import Ranked
from retrieval.request import Fusion, Hit, Match, SearchRequest


def fused(request: SearchRequest, lists: Sequence[Ranked], curves: Curves) -> list[Hit]:
    """All hits of the lists in one order, ties by id. Raises BadQuery for a least relevance where none is known."""
    matches: dict[str, list[Match]] = {}
    shown: dict[str, Found] = {}
    scored: dict[str, list[tuple[str, float]]] = {}
    known: dict[Modality, dict[str, list[tuple[str, float]]]] = {}
    unknown: dict[Modality, Ranked] = {}
    for one in lists:
        probabilities = _probabilities(one, curves)
        if probabilities is None:
            unknown.setdefault(one.content, one)
            scores = [point.score for point in one.points]
        else:
            scores = probabilities.tolist()
        held = scored[one.name] = []
        for rank, (point, score) in enumerate(zip(one.points, scores, strict=True), start=1):
            asset = str(point.payload["asset"])
            probability = None if probabilities is None else score
            matches.setdefault(asset, []).append(_match(one.space, one.content, point, rank, probability))
            shown.setdefault(asset, point)
            held.append((asset, score))
        if probabilities is not None:
            known.setdefault(one.content, {})[one.name] = held
    if request.min_score is not None:
        _must_be_known(unknown, known)
    weights = {one.name: request.weights.get(one.space.name, 1.0) for one in lists}
    could = {
        asset: {one.name for one in lists if one.content in {match.content for match in held}}
        for asset, held in matches.items()
    }
    match request.fusion or Fusion.RRF:
        case Fusion.RRF:
            order = rrf({name: [asset for asset, _ in held] for name, held in scored.items()}, weights)
        case Fusion.WEIGHTED if not unknown:
            order = weighted(scored, weights, could)
        case _:  # scores that no curve is known of are not on one scale
            order = dbsf(scored, weights, could)
    relevance = relevances(known, weights)
    return [_hit(shown[asset], score, matches[asset], relevance.get(asset)) for asset, score in order]


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


def _must_be_known(unknown: Mapping[Modality, Ranked], known: Mapping[Modality, object]) -> None:
    for content, one in unknown.items():
        if one.points and content not in known:
            raise BadQuery(
                f"how likely {content} is to be relevant to {one.asked.asked} is not known yet here: "
                "`quiver calibrate` finds out, or leave min_score out"
            )


def _probabilities(one: Ranked, curves: Curves) -> NDArray[np.float64] | None:
    curve = curves.get((one.space.fingerprint, one.asked.asked, one.content))
    return None if curve is None else curve(np.array([point.score for point in one.points], np.float64))


def _match(space: EmbeddingSpace, content: Modality, point: Found, rank: int, probability: float | None) -> Match:
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
