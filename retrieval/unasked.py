"""What is shown to somebody of whom nothing is known: the newest, or the highest by a field. The same each time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from core.fields import FieldType, as_datetime
from core.filters import And, Filter, Range, matches
from core.points import Found, Nearest, Scope
from core.ports import Catalogue, VectorStore
from core.records import Index
from core.spaces import Dense
from core.types import AssetId
from retrieval.asked import asset_of
from retrieval.lists import searched
from retrieval.recommendation import RecommendRequest

WINDOW = 256  # points of one step down a field
PAGE = 1000  # assets of one look into the catalogue
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Orders:
    """Orders that a batch of people shares, each read no further than anybody needs."""

    def __init__(self, index: Index, catalogue: Catalogue, store: VectorStore) -> None:
        self._index, self._catalogue, self._store = index, catalogue, store
        self._begun: dict[object, tuple[list[Found], Iterator[list[Found]]]] = {}

    def of(self, request: RecommendRequest) -> Iterator[Found]:
        """One point of each asset that the request may show, in the order of its fallback."""
        key = (request.tenant, request.modalities, request.where, request.fallback)
        if key not in self._begun:
            self._begun[key] = ([], self._pages(request))
        known, more = self._begun[key]
        at = 0
        while True:
            while at < len(known):
                yield known[at]
                at += 1
            page = next(more, None)
            if page is None:
                return
            known += page

    def _pages(self, request: RecommendRequest) -> Iterator[list[Found]]:
        shown: set[AssetId] = set()
        if request.fallback.field is not None:
            for page in self._by_field(request, request.fallback.field):
                yield [point for point in page if asset_of(point.payload["asset"]) not in shown]
                shown |= {asset_of(point.payload["asset"]) for point in page}
        for page in self._newest(request):
            yield [point for point in page if asset_of(point.payload["asset"]) not in shown]

    def _newest(self, request: RecommendRequest) -> Iterator[list[Found]]:
        """By when assets first came, the latest first. What is not indexed yet, or blocked, is left out."""
        before: tuple[datetime, AssetId] | None = None
        while page := self._catalogue.newest(request.tenant, request.collection, before=before, limit=PAGE):
            before = page[-1].created_at, page[-1].id
            ids = [
                one.id for one in page if one.modality in request.modalities and matches(request.where, one.metadata)
            ]
            there = self._visible(request, request.where, frozenset(ids), len(ids)) if ids else {}
            yield [there[one] for one in ids if one in there]

    def _visible(
        self, request: RecommendRequest, where: Filter | None, assets: frozenset[AssetId] | None, count: int
    ) -> dict[AssetId, Found]:
        """A point of each asset of these, or of all that the filter means: those that a search could show."""
        scope = Scope(tenant=request.tenant, modalities=request.modalities, assets=assets)
        queries = [
            Nearest(space=space, vector=_axis(space.dim), scope=scope, where=where, limit=2 * count, exact=True)
            for space in self._index.spaces
            if not space.sparse
        ]
        out: dict[AssetId, Found] = {}
        for points in searched(self._index, self._store, dict.fromkeys(queries, count)).values():
            for point in points:
                out.setdefault(asset_of(point.payload["asset"]), point)
        return out

    def _by_field(self, request: RecommendRequest, name: str) -> Iterator[list[Found]]:
        """Down the values of a field, a window of some points at a time, found by halving what they may be."""
        moments = self._index.fields[name] is FieldType.DATETIME
        least, above = (_EARLIEST, _LATEST) if moments else (-_TOP, _TOP)
        scope = Scope(tenant=request.tenant, modalities=request.modalities)

        def window(low: int, high: int) -> Filter:
            bounds = {"gte": _moment(low), "lt": _moment(high)} if moments else {"gte": _float(low), "lt": _float(high)}
            parts = [Range(name, **bounds), *([request.where] if request.where is not None else [])]
            return And(tuple(parts))

        while above > least:
            low, high = least, above - 1
            count = partial(self._store.count, self._index, scope)
            while low < high:  # the highest beginning of a window that holds enough; or all that is left
                middle = (low + high + 1) // 2
                if count(window(middle, above)) >= WINDOW:
                    low = middle
                else:
                    high = middle - 1
            meant = window(low, above)
            if here := count(meant):
                there = self._visible(request, meant, None, here)
                placed = [
                    (-_value(name, p, moments=moments, below=above), p.payload["asset"], p) for p in there.values()
                ]
                yield [point for _, _, point in sorted(placed, key=lambda each: each[:2])]
            above = low


def _axis(dim: int) -> Dense:
    """Some vector: what is asked for is all that there is, in an order of ours."""
    made = np.zeros(dim, np.float32)
    made[0] = 1
    return made


def _value(name: str, point: Found, *, moments: bool, below: int) -> int:
    held = point.payload["metadata"][name]
    said: list[Any] = held if isinstance(held, list) else [held]
    places = [_at_moment(as_datetime(one)) if moments else _place(float(one)) for one in said if one is not None]
    return max(place for place in places if place < below)


def _place(number: float) -> int:
    """Floats as integers in the same order: IEEE 754 was made so, but for the sign."""
    bits: int = struct.unpack(">q", struct.pack(">d", number + 0.0))[0]
    return bits if bits >= 0 else -(bits & (2**63 - 1))


def _float(place: int) -> float:
    made: float = struct.unpack(">d", struct.pack(">q", abs(place)))[0]
    return made if place >= 0 else -made


_TOP = _place(1.7976931348623157e308)


def _at_moment(moment: datetime) -> int:
    """Microseconds since 1970."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EARLIEST, _LATEST = (_at_moment(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))


def _moment(place: int) -> datetime:
    return _EPOCH + timedelta(microseconds=place)
