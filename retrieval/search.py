"""A query to hits: encode once a space, ask the store in one round trip, best segment an asset, fuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import numpy as np

from core.errors import BadQuery, IndexDrifted, NoSpaceFor, NoSuchCollection
from core.filters import check
from core.points import Found, Nearest, Scope, span_of
from core.ports import Catalogue, EncoderOf, VectorStore
from core.records import Index, State
from core.spaces import EmbeddingSpace, Metric, Sparse, Vector
from core.types import AssetId, Digest, Modality, Reading
from retrieval.fusion import rrf
from retrieval.request import Answer, Hit, Like, Match, SearchRequest


class _List(NamedTuple):
    space: EmbeddingSpace
    content: Modality  # of the segments in it
    vector: Vector


def search(request: SearchRequest, *, catalogue: Catalogue, store: VectorStore, encoder_of: EncoderOf) -> Answer:
    """Raises NoSuchCollection, NoSuchAsset, BadFilter, BadQuery, NoSpaceFor, StoreDown, IndexDrifted."""
    began = perf_counter()
    index = catalogue.serving(request.collection)
    check(request.where, index.fields)
    lists, without = _lists(request, index, catalogue, store, encoder_of)
    encoded = perf_counter()
    queries = [
        Nearest(
            space=one.space,
            vector=one.vector,
            scope=Scope(
                tenant=request.tenant,
                modalities=request.modalities,
                contents=frozenset({one.content}),
                without=without,
            ),
            where=request.where,
            limit=max(50, 3 * request.limit),
            exact=request.exact,
        )
        for one in lists
    ]
    try:
        answers = _searched(index, store, queries, request.limit)
    except NoSuchCollection as exc:
        _must_be_empty(request, catalogue, exc)
        answers = [[] for _ in queries]
    searched = perf_counter()
    hits = _fused(lists, answers, request.limit)
    return Answer(
        hits=hits,
        encoders={one.space.name: one.space.model for one in lists},
        seconds={
            "encode": encoded - began,
            "store": searched - encoded,
            "fuse": perf_counter() - searched,
            "total": perf_counter() - began,
        },
    )


def _lists(
    request: SearchRequest, index: Index, catalogue: Catalogue, store: VectorStore, encoder_of: EncoderOf
) -> tuple[list[_List], frozenset[AssetId]]:
    """One list a space and modality of segments: cosines of different modality pairs do not compare, ranks do."""
    without: frozenset[AssetId] = frozenset()
    vectors: list[tuple[EmbeddingSpace, Modality, Vector]] = []
    if isinstance(request.query, Like):
        asset = catalogue.asset(request.tenant, request.collection, request.query.asset)
        without = frozenset({asset.id})
        try:
            vectors = _stored(index, store, asset.id)
        except NoSuchCollection as exc:
            _must_be_empty(request, catalogue, exc)
        if not vectors:
            raise BadQuery(f"{asset.external_id!r} is not indexed yet: wait for it, or see `quiver status`")
    else:
        asked = request.query.modality
        for space in index.spaces:
            if asked in space.modalities:
                vectors.append((space, asked, encoder_of(space).encode_query(request.query)))
        if not vectors:
            raise NoSpaceFor(f"no space of {request.collection!r} can embed {asked} queries")
    held = _contents(request.modalities, index.reads)
    wanted = [
        _List(space, content, vector)
        for space, asked, vector in vectors
        if not (isinstance(vector, Sparse) and not len(vector))  # the sparse channel has nothing to say
        for content in sorted(held & space.modalities)
        # Words that two pictures share say less than the pictures do: with them mean average precision falls
        # (docs/quality.md, "Like this photo").
        if not (space.sparse and asked is content is Modality.IMAGE)
    ]
    if not wanted:
        raise NoSpaceFor(
            f"no space of {request.collection!r} compares this query with {', '.join(sorted(request.modalities))}"
        )
    return wanted, without


def _contents(modalities: frozenset[Modality], reads: frozenset[Reading]) -> frozenset[Modality]:
    """What the segments of such assets are: a film's are pictures and sounds, and of whatever is read its words."""
    held = {Modality.VIDEO: {Modality.IMAGE, Modality.AUDIO}}
    parts = {content for modality in modalities for content in held.get(modality, {modality})}
    return frozenset(parts | ({Modality.TEXT} if reads else set()))


def _must_be_empty(request: SearchRequest, catalogue: Catalogue, missing: NoSuchCollection) -> None:
    """The store has no such index. It is made when the first asset is indexed: until then there is nothing to find."""
    if indexed := catalogue.counts(request.tenant, request.collection)[State.INDEXED]:
        raise IndexDrifted(
            f"{indexed} assets of {request.collection!r} are indexed by the catalogue, but the store has no index of "
            "theirs: `quiver reconcile --repair` indexes them again"
        ) from missing


def _stored(index: Index, store: VectorStore, asset: AssetId) -> list[tuple[EmbeddingSpace, Modality, Vector]]:
    """An asset as a query: in every space that holds it the mean of its segments of one kind, not of what was read."""
    points = [point for point in store.of_assets(index, [asset]) if "source" not in point.payload]
    out: list[tuple[EmbeddingSpace, Modality, Vector]] = []
    for space in index.spaces:
        for content in sorted(space.modalities):
            name = space.vector_name
            mine = [p.vectors[name] for p in points if name in p.vectors and p.payload["content"] == content]
            if mine:
                out.append((space, content, _mean(space, mine)))
    return out


def _mean(space: EmbeddingSpace, vectors: Sequence[Vector]) -> Vector:
    if len(vectors) == 1:
        return vectors[0]
    if space.sparse:
        dense = np.zeros(space.dim, np.float32)
        for v in vectors:
            if isinstance(v, Sparse):
                dense[v.indices] += v.values / len(vectors)
        at = np.flatnonzero(dense).astype(np.uint32)
        return Sparse(at, dense[at])
    mean = np.mean([v for v in vectors if not isinstance(v, Sparse)], axis=0, dtype=np.float32)
    length = float(np.linalg.norm(mean))
    if space.metric is Metric.COSINE and length > 0:
        mean = mean / length
    return np.asarray(mean, np.float32)


def _searched(index: Index, store: VectorStore, queries: Sequence[Nearest], assets: int) -> list[list[Found]]:
    """One round trip; another only for a list that fewer assets than are wanted filled up with their segments."""
    out: list[list[Found]] = [[] for _ in queries]
    unfilled = dict(enumerate(queries))
    while unfilled:
        asked = list(unfilled.items())
        for (at, query), answer in zip(asked, store.search(index, [query for _, query in asked]), strict=True):
            out[at] = sorted([*out[at], *answer], key=lambda point: (-point.score, point.id.int))
            seen = query.scope.without | {AssetId(UUID(point.payload["asset"])) for point in answer}
            if len(answer) < query.limit or len({point.payload["asset"] for point in out[at]}) >= assets:
                del unfilled[at]
            else:
                unfilled[at] = replace(query, scope=replace(query.scope, without=seen))
    return out


def _fused(lists: Sequence[_List], answers: Sequence[Sequence[Found]], limit: int) -> tuple[Hit, ...]:
    ranked: dict[str, list[str]] = {}
    matches: dict[str, list[Match]] = {}
    shown: dict[str, Found] = {}
    for one, found in zip(lists, answers, strict=True):
        best: dict[str, Found] = {}
        for point in found:  # best first: the first of an asset is its best segment
            best.setdefault(str(point.payload["asset"]), point)
        ranked[f"{one.space.vector_name}/{one.content}"] = list(best)
        for rank, (asset, point) in enumerate(best.items(), start=1):
            matches.setdefault(asset, []).append(
                Match(
                    space=one.space.name,
                    score=point.score,
                    rank=rank,
                    ordinal=int(point.payload["ordinal"]),
                    span=span_of(point.payload),
                    source=Reading(said) if (said := point.payload.get("source")) else None,
                    text=point.payload.get("text"),
                )
            )
            shown.setdefault(asset, point)
    return tuple(_hit(shown[asset], score, matches[asset]) for asset, score in rrf(ranked)[:limit])


def _hit(point: Found, score: float, matches: Sequence[Match]) -> Hit:
    said = point.payload
    return Hit(
        asset=AssetId(UUID(said["asset"])),
        external_id=said["external_id"],
        modality=Modality(said["modality"]),
        media_type=said["media_type"],
        digest=Digest(said["digest"]),
        metadata=said["metadata"],
        score=score,
        matches=tuple(matches),
    )
