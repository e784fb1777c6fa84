"""Ranked lists: one a space and modality of segments, in one round trip to the store, best segment of each asset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import NoSpaceFor
from core.points import Found, Nearest, Scope
from core.ports import VectorStore
from core.records import Index
from core.spaces import EmbeddingSpace, Sparse
from core.types import AssetId, Modality, Reading
from retrieval.asked import asset_of
from retrieval.request import SearchRequest
from retrieval.selectivity import tuned
from retrieval.stages import AskedVector

TIERS = {16: 50, 100: 300, 1000: 3000, 10_000: 30_000}  # points of each list for so many hits
GROUPED = 100  # hits that groups are made of at least


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The best segment of every asset that a list has, best first."""

    asked: AskedVector
    content: Modality  # of the segments in it
    points: Sequence[Found]

    @property
    def space(self) -> EmbeddingSpace:
        """The space that its scores are of."""
        return self.asked.space

    @property
    def name(self) -> str:
        """One of its own, the same for the same space and modality."""
        return f"{self.space.vector_name}/{self.content}"


def wanted(request: SearchRequest, index: Index, vectors: Sequence[AskedVector]) -> list[tuple[AskedVector, Modality]]:
    """The lists to ask for: cosines of different modality pairs do not compare. Raises NoSpaceFor for none."""
    held = _contents(request.modalities, index.reads)
    lists = [
        (each, content)
        for each in vectors
        if not (isinstance(each.vector, Sparse) and not len(each.vector))  # the sparse channel has nothing to say
        if request.weights.get(each.space.name, 1.0) > 0
        for content in sorted(held & each.space.modalities)
        # Words that two pictures share say less than the pictures do: with them mean average precision falls
        # (docs/quality.md, "Like this photo").
        if not (each.space.sparse and each.asked is content is Modality.IMAGE)
    ]
    if not lists:
        raise NoSpaceFor(
            f"no space of {request.collection!r} compares this query with {', '.join(sorted(request.modalities))}"
        )
    return lists


def _contents(modalities: frozenset[Modality], reads: frozenset[Reading]) -> frozenset[Modality]:
    """What the segments of such assets are: a film's are pictures and sounds, and of whatever is read its words."""
    held = {Modality.VIDEO: {Modality.IMAGE, Modality.AUDIO}}
    parts = {content for modality in modalities for content in held.get(modality, {modality})}
    return frozenset(parts | ({Modality.TEXT} if reads else set()))


def depths_of(request: SearchRequest) -> list[int]:
    """How many hits to make, step by step: the last holds what is asked for, and the first is the same for each page.

    Each step goes on behind the hits of the one before, so that the pages of one question are cut from one order.
    """
    grouped = 0 if request.group_by is None else GROUPED
    first = _step(max((request.limit, grouped, *(stage.depth for stage in request.stages))))
    last = max(first, _step(request.offset + request.limit))
    return [step for step in TIERS if first <= step <= last]


def _step(hits: int) -> int:
    return min(step for step in TIERS if step >= min(hits, max(TIERS)))


def nearest(
    request: SearchRequest, lists: Sequence[tuple[AskedVector, Modality]], without: frozenset[AssetId], depth: int
) -> Iterator[Nearest]:
    """What the store is asked, one query a list."""
    for each, content in lists:
        yield Nearest(
            space=each.space,
            vector=each.vector,
            scope=Scope(
                tenant=request.tenant,
                modalities=request.modalities,
                contents=frozenset({content}),
                without=without,
            ),
            where=request.where,
            limit=TIERS[depth],
            exact=request.exact,
        )


def searched(index: Index, store: VectorStore, asked: Mapping[Nearest, int]) -> dict[Nearest, list[Found]]:
    """The points of each query, best first: of as many assets as are wanted of it, or of all that there are.

    One round trip; another only for a list that fewer assets than are wanted filled up with their segments.
    """
    queries = tuned(store, index, list(asked))
    assets = list(asked.values())
    out: list[list[Found]] = [[] for _ in queries]
    unfilled = dict(enumerate(queries))
    while unfilled:
        here = list(unfilled.items())
        for (at, query), answer in zip(here, store.search(index, [query for _, query in here]), strict=True):
            out[at] = sorted([*out[at], *answer], key=lambda point: (-point.score, point.id.int))
            found = {point.payload["asset"] for point in out[at]}
            if len(answer) < query.limit or len(found) >= assets[at]:
                del unfilled[at]
            else:
                seen = query.scope.without | {asset_of(name) for name in found}
                unfilled[at] = replace(query, scope=replace(query.scope, without=seen))
    return dict(zip(asked, out, strict=True))


def ranked(asked: AskedVector, content: Modality, points: Sequence[Found]) -> Ranked:
    """The list of those points: of an asset its best."""
    best: dict[str, Found] = {}
    for point in points:  # best first: the first of an asset is its best segment
        best.setdefault(point.payload["asset"], point)
    return Ranked(asked, content, list(best.values()))
