"""An index as one who answers the queries of an evaluation: the serving one, or one that is being built."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

import numpy as np

from core.errors import NoSuchAsset, Refused
from core.filters import Filter
from core.points import Scope, Stored
from core.ports import Catalogue, EncoderOf
from core.records import Collection, Index
from core.runtime.wiring import Parts
from core.spaces import Metric, Sparse
from core.types import Asset, AssetId, Audio, Image, Modality, Tenant, Text
from retrieval.asked import embedding, vectors_of
from retrieval.evaluate import Gap, Target
from retrieval.measures import apart
from retrieval.request import Answer, SearchRequest
from workers.answering import asked
from workers.collections import label_of

OWN = "(its own)"  # the filter that a query has
TOGETHER = 64  # assets whose vectors are read at once


class _Serving:
    def __init__(self, catalogue: Catalogue, index: Index) -> None:
        self._catalogue, self._index = catalogue, index

    def serving(self, _collection: str) -> Index:
        return self._index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalogue, name)


def served_by(index: Index, catalogue: Catalogue) -> Catalogue:
    """A catalogue to which that index serves its collection, whatever state it is in."""
    return cast(Catalogue, _Serving(catalogue, index))


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Requests by the ids of their queries, to be asked of one index. `where`: filters by how they are written."""

    parts: Parts
    kept: Collection
    tenant: Tenant
    asked: Index
    requests: Mapping[str, Callable[[], SearchRequest]]
    filtered: bool  # whether some of them have filters of their own
    where: Mapping[str, Filter]
    settings: Mapping[str, Any]

    @property
    def collection(self) -> str:
        return label_of(self.kept.name)

    @property
    def index(self) -> str:
        return self.asked.id

    @property
    def filters(self) -> Mapping[str, float | None]:
        store, scope = self.parts.store, Scope(tenant=self.tenant)
        out: dict[str, float | None] = {"": 1.0}
        if self.filtered:
            out[OWN] = None
        if self.where:
            whole = store.count(self.asked, scope) or 1
            out |= {said: store.count(self.asked, scope, where) / whole for said, where in self.where.items()}
        return out

    def answer(self, case: str, depth: int) -> Answer:
        return self._ask(replace(self.requests[case](), limit=depth, offset=0, explain=False))

    def nearest(self, case: str, at: int, *, where: str, exact: bool) -> Answer | None:
        request = self.requests[case]()
        chosen = request.where if where == OWN else self.where.get(where)
        if where == OWN and chosen is None:
            return None
        bare = replace(request, where=chosen, limit=at, offset=0, stages=(), min_score=None, group_by=None)
        return self._ask(replace(bare, exact=exact, explain=False))

    def target(self, name: str) -> tuple[str, Target]:
        asset = self._asset(name)
        return asset.external_id, Target(modality=asset.modality, metadata=asset.metadata)

    def gaps(self, pairs: Sequence[tuple[str, str]]) -> list[Gap]:
        asked_for = {query: self._vectors(query) for query in dict.fromkeys(query for query, _ in pairs)}
        ids = {name: self._asset(name).id for _, name in pairs}
        rows: defaultdict[tuple[str, Modality, Modality], list[tuple[Any, Any]]] = defaultdict(list)
        points = self._points(list(dict.fromkeys(ids.values())))
        for query, name in pairs:
            for space, modality, vector_name, vector in asked_for[query]:
                best: dict[Modality, tuple[float, Any]] = {}
                for point in points[ids[name]]:
                    held = point.vectors.get(vector_name)
                    if held is not None and not isinstance(held, Sparse):
                        content, near = Modality(point.payload["content"]), float(held @ vector)
                        best[content] = max(best.get(content, (-2.0, held)), (near, held), key=lambda pair: pair[0])
                for content, (_, held) in best.items():
                    rows[space, modality, content].append((vector, held))
        return [
            Gap(
                space=space,
                asked=modality,
                content=content,
                apart=apart(np.stack([one for one, _ in held]), np.stack([other for _, other in held])),
            )
            for (space, modality, content), held in sorted(rows.items())
        ]

    def _vectors(self, query: str) -> list[tuple[str, Modality, str, Any]]:
        """Of the dense spaces where nearness is the cosine; of mixtures, assets and vectors nothing, nor of what is
        refused: it is among those that failed already."""
        try:
            request = self.requests[query]()
            if not isinstance(request.query, Text | Image | Audio):
                return []
            embed = embedding([request.query], self._encoder_of)
            made, _ = vectors_of(request, self.asked, self._catalogue, self.parts.store, embed)
        except Refused:
            return []
        return [
            (one.space.name, one.asked, one.space.vector_name, one.vector)
            for one in made
            if one.space.metric is Metric.COSINE and not isinstance(one.vector, Sparse)
        ]

    def _points(self, ids: Sequence[AssetId]) -> Mapping[AssetId, list[Stored]]:
        out: defaultdict[AssetId, list[Stored]] = defaultdict(list)
        by_text = {str(asset): asset for asset in ids}
        for some in _slices(ids):
            for point in self.parts.store.of_assets(self.asked, some):
                out[by_text[str(point.payload["asset"])]].append(point)
        return out

    def _ask(self, request: SearchRequest) -> Answer:
        return asked(self.parts, [request], profile=self._profile, catalogue=self._catalogue)[0]

    def _asset(self, name: str) -> Asset:
        """By id, or else by external id. Raises NoSuchAsset."""
        try:
            return self.parts.catalogue.asset(self.tenant, self.kept.name, AssetId(UUID(name)))
        except (ValueError, NoSuchAsset):
            return self.parts.catalogue.asset(self.tenant, self.kept.name, name)

    @property
    def _profile(self) -> str:
        return self.asked.profile or self.kept.profile

    @property
    def _catalogue(self) -> Catalogue:
        return served_by(self.asked, self.parts.catalogue)

    @property
    def _encoder_of(self) -> EncoderOf:
        return lambda space: self.parts.encoders.of_space(self._profile, space)


def _slices(ids: Sequence[AssetId]) -> Iterator[Sequence[AssetId]]:
    for at in range(0, len(ids), TOGETHER):
        yield ids[at : at + TOGETHER]
