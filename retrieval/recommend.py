"""Recommendation: examples to what is near them and was not seen, for many people in few round trips to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

import numpy as np

from core.errors import BadQuery, NoSuchCollection, Refused
from core.filters import Eq, Filter
from core.points import Found, Nearest
from core.ports import Catalogue, EncoderOf, VectorStore
from core.records import Index
from core.types import AssetId, Modality
from retrieval import page_token
from retrieval.asked import asset_of, must_be_empty
from retrieval.calibration import NO_CURVES, Curves
from retrieval.hits import fused
from retrieval.lists import ranked
from retrieval.page_token import Page
from retrieval.recommendation import ANY, Recommendation, Recommended, RecommendRequest, aged
from retrieval.request import Hit
from retrieval.seen import is_in
from retrieval.shares import Kept, cut, full, others, reserved, values_of
from retrieval.stages import Asked, AskedVector, chain
from retrieval.supply import Parts, Supply
from retrieval.taste import Encoded, Held, Taste, because, keys_of, taste_of
from retrieval.unasked import Orders

AT_ONCE = 256  # queries in one round trip
STEP = 64  # things that a fallback is looked through at a time


def recommend_all(
    requests: Sequence[RecommendRequest],
    *,
    catalogue: Catalogue,
    store: VectorStore,
    encoder_of: EncoderOf,
    curves_of: Callable[[Index], Curves] = lambda _: NO_CURVES,
) -> list[Recommendation | Refused]:
    """Answers to requests of one tenant and collection, in order; a request that cannot be answered gets its fault.

    Raises NoSuchCollection, StoreDown, CatalogueDown, IndexDrifted.
    """
    if not requests:
        return []
    first = requests[0]
    began = perf_counter()
    index = catalogue.serving(first.collection)
    curves = curves_of(index)
    held = Held(index, store)
    parts = Parts(index=index, catalogue=catalogue, store=store, held=held, curves=curves)
    encoded = Encoded(index, catalogue, store, encoder_of)
    found = catalogue.find(first.tenant, first.collection, keys_of(requests))
    out: list[Recommendation | Refused | None] = [None] * len(requests)
    feeds: dict[int, _Feed] = {}
    try:
        held.read(found.values())
        orders = Orders(index, catalogue, store)
        for at, request in enumerate(requests):
            try:
                feeds[at] = _Feed(request, parts, found, encoded, orders)
            except Refused as fault:
                out[at] = fault
        _search([feed for feed in feeds.values() if feed.supply is not None], parts)
        chosen: dict[int, list[Hit]] = {}
        for at, feed in feeds.items():
            try:
                chosen[at] = feed.chosen()
            except Refused as fault:  # a stage that cannot be done with these hits
                out[at] = fault
        held.read(hit.asset for at, hits in chosen.items() if feeds[at].request.reasons for hit in hits)
    except NoSuchCollection as exc:
        must_be_empty(first.search(first.examples[0].what if first.examples else ANY), catalogue, exc)
        unknown = [tuple(one.name for one in request.examples) for request in requests]
        return [made or Recommendation(items=(), unknown=names) for made, names in zip(out, unknown, strict=True)]
    share = (perf_counter() - began) / len(requests)
    for at, hits in chosen.items():
        out[at] = feeds[at].answer(hits, share)
    return [made for made in out if made is not None]


def recommend(
    request: RecommendRequest,
    *,
    catalogue: Catalogue,
    store: VectorStore,
    encoder_of: EncoderOf,
    curves_of: Callable[[Index], Curves] = lambda _: NO_CURVES,
) -> Recommendation:
    """Raises NoSuchCollection, BadFilter, BadQuery, NoSpaceFor, StoreDown, CatalogueDown, IndexDrifted."""
    [made] = recommend_all([request], catalogue=catalogue, store=store, encoder_of=encoder_of, curves_of=curves_of)
    if isinstance(made, Refused):
        raise made
    return made


def _search(feeds: Sequence[_Feed], parts: Parts) -> None:
    """The first round of everybody, many queries a round trip."""
    asked: list[tuple[Supply, list[Nearest]]] = []
    for feed in feeds:
        assert feed.supply is not None
        asked.append((feed.supply, feed.supply.queries(feed.supply.first)))
    while asked:
        here: list[tuple[Supply, list[Nearest]]] = []
        while asked and (not here or sum(len(q) for _, q in here) + len(asked[0][1]) <= AT_ONCE):
            here.append(asked.pop(0))
        answers = iter(parts.store.search(parts.index, [query for _, queries in here for query in queries]))
        for supply, queries in here:
            supply.take(queries, [next(answers) for _ in queries])


class _Feed:
    """One person's answer on its way."""

    def __init__(
        self,
        request: RecommendRequest,
        parts: Parts,
        found: Mapping[str, AssetId],
        encoded: Encoded,
        orders: Orders,
    ) -> None:
        """Raises BadQuery, BadFilter, NoSpaceFor."""
        self.request, self._parts, self._orders = request, parts, orders
        request.check(parts.index.fields)
        known = {space.name for space in parts.index.spaces}
        if unknown := sorted(request.weights.keys() - known):
            raise BadQuery(f"there is no space {unknown[0]!r} to weigh; there is: {', '.join(sorted(known))}")
        self._asked = page_token.digest(request.spelling())
        self._page = Page(datetime.now(UTC)) if request.page is None else page_token.read(request.page, self._asked)
        self._taste: Taste = taste_of(request, found, parts.held, encoded, self._page.since)
        self.supply: Supply | None = None
        if self._taste.liked:
            self.supply = Supply(request, self._taste, parts, shown=len(self._page.shown))
        self._created: dict[AssetId, datetime | None] = {}
        self._factors: dict[AssetId, float] = {}
        self._late: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()

    def chosen(self) -> list[Hit]:
        """The hits of this page."""
        if self.supply is None:
            return [] if self.request.fallback.kind == "none" else self._unasked()
        request, supply = self.request, self.supply
        page: list[Hit] = []

        def look() -> list[Hit]:
            nonlocal page
            hits = self._ordered(supply)
            page = cut(hits, request.limit, request.quota, request.shares)
            return hits

        def filled() -> bool:
            look()
            return len(page) >= request.limit or bool(full(page, request.quota) - blocked)

        blocked: frozenset[Kept] = frozenset()
        asked = supply.first
        while True:
            supply.deepen(filled, others(blocked), asked=asked)
            now = blocked | full(page, request.quota)
            if len(page) >= request.limit or now == blocked:
                break
            blocked, asked = now, 0
        for (name, value), least in reserved(request.shares, request.limit):
            own: list[Filter] = [Eq(name, value)]

            def has(name: str = name, value: str | int | bool = value, least: int = least) -> bool:
                return sum(value in values_of(hit, name) for hit in look()) >= least

            supply.deepen(has, own)
        if request.shares:
            look()
        return page

    def _ordered(self, supply: Supply) -> list[Hit]:
        """Candidates in the order in which they are shown, without those of earlier pages."""
        hits, self._factors = aged(supply.hits(), self.request.freshness, self._page.since)
        if self.request.stages:
            budget = self.request.budget
            deadline = None if budget is None else perf_counter() + budget
            parts, lists = self._parts, supply.lists()
            asked = Asked(supply.base, parts.index, supply.vectors, parts.store, deadline, parts.curves, lists)
            hits, self._late, _ = chain(hits, asked)
            self._notes = tuple(dict.fromkeys(asked.remarks))
        if self.request.min_score is not None:
            least = self.request.min_score
            hits = [hit for hit in hits if hit.relevance is not None and hit.relevance >= least]
        return self._continued(hits)

    def _continued(self, hits: Sequence[Hit]) -> list[Hit]:
        """Without what earlier pages showed, nor what came since the first."""
        if self.request.page is None:
            return list(hits)
        hits = [hit for hit in hits if not self._page.has(hit.asset)]
        asked = [hit.asset for hit in hits if hit.asset not in self._created]
        self._created |= dict.fromkeys(asked, None)
        for standing in self._parts.catalogue.standings(self._parts.index, asked):
            self._created[standing.asset.id] = standing.asset.created_at
        out = []
        for hit in hits:
            created = self._created[hit.asset]
            if created is not None and created <= self._page.since:
                out.append(hit)
        return out

    def _unasked(self) -> list[Hit]:
        request = self.request
        points: list[Found] = []
        for point in self._orders.of(request):
            gone = is_in(request.seen, point.payload)
            if gone or (not request.again and asset_of(point.payload["asset"]) in self._taste.spoken):
                continue
            points.append(point)
            if len(points) % STEP == 0 and len(page := self._cut_points(points)) >= request.limit:
                return page
        return self._cut_points(points)

    def _cut_points(self, points: Sequence[Found]) -> list[Hit]:
        hits = _in_order(self.request, self._parts.index, points)
        return cut(self._continued(hits), self.request.limit, self.request.quota, self.request.shares)

    def answer(self, hits: Sequence[Hit], seconds: float) -> Recommendation:
        """The page. Its vectors have been read, where reasons are wanted."""
        request, supply = self.request, self.supply
        reasons = because(hits, self._taste, self._parts.held) if request.reasons and supply is not None else {}
        fallback = str(request.fallback) if supply is None and request.fallback.kind != "none" else None
        following = None
        if len(hits) == request.limit:
            following = page_token.write(self._page, [hit.asset for hit in hits], self._asked)
        return Recommendation(
            items=tuple(
                Recommended(
                    hit=hit,
                    because=reasons.get(hit.asset),
                    freshness=self._factors.get(hit.asset),
                    fallback=fallback,
                )
                for hit in hits
            ),
            unknown=tuple(self._taste.unknown),
            pending=tuple(self._taste.pending),
            fallback=fallback,
            page=following,
            partial=self._late,
            encoders={} if supply is None else {each.space.name: each.space.model for each in supply.vectors},
            seconds=seconds,
            notes=(*self._notes, *(supply.notes() if supply is not None and request.min_score is not None else ())),
        )


def _in_order(request: RecommendRequest, index: Index, points: Sequence[Found]) -> list[Hit]:
    """Hits of points in the order in which they are: nothing was asked, and so nothing matches."""
    space = index.spaces[0]
    made = ranked(AskedVector(space, Modality.TEXT, np.zeros(space.dim, np.float32)), Modality.TEXT, points)
    base = request.search(ANY, weights={}, fusion=None, min_score=None)
    return [replace(hit, matches=(), relevance=None) for hit in fused(base, [made], NO_CURVES)]
