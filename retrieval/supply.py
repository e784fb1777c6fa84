"""Candidates for one person: the nearest that are neither seen nor examples, and more until there are enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from core.errors import BadQuery
from core.filters import And, Filter
from core.points import Found, Nearest
from core.ports import Catalogue, VectorStore
from core.records import Index
from core.spaces import EmbeddingSpace
from core.types import Modality
from retrieval.asked import asset_of
from retrieval.calibration import NO_CURVES, Curves
from retrieval.hits import fused, must_be_known, rough
from retrieval.lists import Ranked, nearest, ranked, searched, wanted
from retrieval.recommendation import RecommendRequest, Strategy
from retrieval.request import Hit, SearchRequest
from retrieval.seen import is_in, left
from retrieval.stages import AskedVector
from retrieval.taste import Held, Taste, asked_by, in_spaces, known_shares, scores_of, stacked

DEEP = 20_000  # points of a list; who has seen nearly all of so many has the rest compared in full
ROOM = 300  # points of a list that stages, ages and quotas choose from at least
KEPT = 4_000  # points of a list that are kept while the rest are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is asked of, and what is known of the whole batch."""

    index: Index
    catalogue: Catalogue
    store: VectorStore
    held: Held
    curves: Curves


class Supply:
    """One person's candidates."""

    def __init__(self, request: RecommendRequest, taste: Taste, parts: Parts, *, shown: int) -> None:
        """`shown`: how many things earlier pages showed. Raises NoSpaceFor."""
        self._request, self._taste, self._parts = request, taste, parts
        asked = asked_by(taste, request.strategy)
        if not asked:
            raise BadQuery("what is liked and what is not cancel each other out: give them other weights")
        shares = known_shares(taste)
        weights = {name: request.weights.get(name, 1.0) * share for name, share in shares.items()}
        heaviest = max(taste.liked, key=lambda one: one.weight)
        self.base: SearchRequest = request.search(heaviest.example.what, weights=weights, min_score=None)
        self._lists = wanted(self.base, parts.index, [each for each, _ in asked])
        of = {id(each): weight for each, weight in asked}
        self._weights = [of[id(each)] for each, _ in self._lists]
        self._points: list[dict[UUID, Found]] = [{} for _ in self._lists]
        self._relevance: dict[str, float] = {}
        self._short = self._over = False
        need = request.limit + shown
        first = max(48, 3 * need) + min(256, len(request.seen) + len(taste.spoken))
        if request.freshness or request.stages or request.quota or request.shares:
            first = max(first, ROOM, *(stage.depth for stage in request.stages))
        if request.strategy is Strategy.BEST:  # the best of all is the best of one list: each is to be as deep
            first = max(need + 16, first // min(4, len(self._lists)))
        self.first = min(DEEP, first)

    @property
    def vectors(self) -> list[AskedVector]:
        """What is searched by."""
        return [each for each, _ in self._lists]

    def queries(self, limit: int, more: Sequence[Filter] = (), *, exact: bool = False) -> list[Nearest]:
        """What the store is to be asked: one query a list."""
        parts = [*([self.base.where] if self.base.where is not None else []), *more]
        where = parts[0] if len(parts) == 1 else And(tuple(parts)) if parts else None
        made = nearest(self.base, self._lists, frozenset(), 16)
        return [replace(each, where=where, limit=limit, exact=exact or each.exact) for each in made]

    def take(self, queries: Sequence[Nearest], answers: Sequence[Sequence[Found]]) -> None:
        """Keep what may be recommended of the answers."""
        for held, answer in zip(self._points, answers, strict=True):
            held.update((point.id, point) for point in answer if not self._gone(point))
        short = [len(answer) < query.limit for query, answer in zip(queries, answers, strict=True)]
        exact = [query.exact or query.space.sparse for query in queries]
        self._short, self._over = all(short), all(short) and all(exact)

    def _gone(self, point: Found) -> bool:
        said = point.payload
        if is_in(self._request.seen, said):
            return True
        return not self._request.again and asset_of(said["asset"]) in self._taste.spoken

    def deepen(self, enough: Callable[[], bool], more: Sequence[Filter] = (), *, asked: int = 0) -> None:
        """Ask for more until it is enough, or there is no more. `asked`: so many were asked for already."""
        limit, exact = asked or self.first, False
        if not asked and not enough():
            self._ask(limit, more, exact=False)
        while not enough() and not self._over:
            if self._short:  # a walk through the graph that ends early has missed what it could not reach
                exact = True
            elif limit < DEEP:
                limit = min(DEEP, limit * 4)
            else:
                self._compare_rest(more)
                enough()
                return
            self._ask(limit, more, exact=exact)

    def _ask(self, limit: int, more: Sequence[Filter], *, exact: bool) -> None:
        queries = self.queries(limit, more, exact=exact)
        self.take(queries, self._parts.store.search(self._parts.index, queries))

    def _compare_rest(self, more: Sequence[Filter]) -> None:
        """All that was not seen, compared in full, some at a time; the best of it are kept."""
        parts, request = self._parts, self._request
        for chunk in left(parts.catalogue, parts.index, request.tenant, request.collection, request.seen):
            asked = self.queries(2 * len(chunk), more, exact=True)
            queries = [replace(one, scope=replace(one.scope, assets=chunk)) for one in asked]
            found = searched(parts.index, parts.store, dict.fromkeys(queries, len(chunk)))
            self.take(queries, [found[query] for query in queries])
            for at, held in enumerate(self._points):
                if len(held) > 2 * KEPT:
                    best = sorted(held.values(), key=_order)[:KEPT]
                    self._points[at] = {point.id: point for point in best}

    def lists(self) -> list[Ranked]:
        """What the hits are made of; none of the strategy `best`, whose scores are of no one comparison."""
        if self._request.strategy is Strategy.BEST:
            return []
        return self._found()

    def notes(self) -> list[str]:
        """What is to be known of the relevance of what was found."""
        return rough(self._found(), self._parts.curves)

    def _found(self) -> list[Ranked]:
        return [
            ranked(each, content, sorted(held.values(), key=_order))
            for (each, content), held in zip(self._lists, self._points, strict=True)
        ]

    def hits(self) -> list[Hit]:
        """All candidates in one order: by strategy within a list, then by fusion. Raises BadQuery for a least relevance
        where none is known, as a search does."""
        if self._request.min_score is not None:
            must_be_known(self._found(), self._parts.curves)
        if made := self.lists():
            return fused(self.base, made, self._parts.curves)
        self._relevance = {}
        lists = [ranked(asked, content, points) for asked, content, points in self._best()]
        return [
            replace(hit, relevance=self._relevance.get(str(hit.asset))) for hit in fused(self.base, lists, NO_CURVES)
        ]

    def _best(self) -> list[tuple[AskedVector, Modality, list[Found]]]:
        """A list a space and modality, by the score of `best`."""
        groups: dict[tuple[EmbeddingSpace, Modality], list[int]] = {}
        for at, (each, content) in enumerate(self._lists):
            groups.setdefault((each.space, content), []).append(at)
        if self._taste.disliked:
            self._parts.held.read(asset_of(point.payload["asset"]) for held in self._points for point in held.values())
        out = []
        for (space, content), places in groups.items():
            liked: dict[UUID, tuple[float, Found]] = {}
            for at in places:
                asked = self._lists[at][0]
                for point in self._points[at].values():
                    self._judge(asked, content, point)
                    score = self._weights[at] * point.score
                    if point.id not in liked or score > liked[point.id][0]:
                        liked[point.id] = score, point
            less = self._less(space, liked)
            points = [replace(point, score=best_score(score, less.get(point.id))) for score, point in liked.values()]
            out.append((self._lists[places[0]][0], content, sorted(points, key=_order)))
        return out

    def _judge(self, asked: AskedVector, content: Modality, point: Found) -> None:
        curve = self._parts.curves.get((asked.space.fingerprint, asked.asked, content))
        if curve is not None:
            asset = str(point.payload["asset"])
            chance = float(curve(np.array([point.score], np.float64))[0])
            self._relevance[asset] = max(chance, self._relevance.get(asset, 0.0))

    def _less(self, space: EmbeddingSpace, points: Mapping[UUID, tuple[float, Found]]) -> dict[UUID, float]:
        """How near each point is to the nearest of what is not liked."""
        disliked = in_spaces(self._taste.disliked).get(space)
        if not disliked:
            return {}
        heaviest = max(one.weight for one in self._taste.disliked)
        weights = np.array([liking.weight / heaviest for liking, _, _ in disliked], np.float32)
        rows = stacked([each.vector for _, each, _ in disliked])
        out: dict[UUID, float] = {}
        for asset in {asset_of(point.payload["asset"]) for _, point in points.values()}:
            for stored in self._parts.held.of(asset):
                if stored.id in points and space.vector_name in stored.vectors:
                    out[stored.id] = float((weights * scores_of(rows, stored.vectors[space.vector_name])).max())
        return out


def best_score(liked: float, disliked: float | None) -> float:
    """0 to 1 where what is liked is nearer, 0 to -1 where what is not liked is; as Qdrant's `best_score`."""
    if disliked is None or liked > disliked:
        return _squashed(liked)
    return -_squashed(disliked)


def _squashed(x: float) -> float:
    return 0.5 * (1 + x / (1 + abs(x)))


def _order(point: Found) -> tuple[float, int]:
    return -point.score, point.id.int
