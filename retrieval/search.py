"""A query to hits: encode once a space, ask the store in one round trip, fuse, run the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from core.errors import BadQuery, NoSuchCollection
from core.filters import check
from core.points import Found, Nearest
from core.ports import Catalogue, EncoderOf, VectorStore
from core.records import Index
from core.types import Modality
from retrieval.asked import embedding, must_be_empty, vectors_of
from retrieval.calibration import NO_CURVES, Curves
from retrieval.grouping import deeper, grouped
from retrieval.hits import fused, may_follow, rough
from retrieval.lists import TIERS, Ranked, depths_of, nearest, ranked, searched, wanted
from retrieval.request import Answer, Hit, SearchRequest, numbered
from retrieval.stages import Asked, AskedVector, chain


def search(
    request: SearchRequest,
    *,
    catalogue: Catalogue,
    store: VectorStore,
    encoder_of: EncoderOf,
    curves_of: Callable[[Index], Curves] = lambda _: NO_CURVES,
) -> Answer:
    """Raises NoSuchCollection, NoSuchAsset, BadFilter, BadQuery, NoSpaceFor, StoreDown, IndexDrifted."""
    return search_all([request], catalogue=catalogue, store=store, encoder_of=encoder_of, curves_of=curves_of)[0]


def search_all(
    requests: Sequence[SearchRequest],
    *,
    catalogue: Catalogue,
    store: VectorStore,
    encoder_of: EncoderOf,
    curves_of: Callable[[Index], Curves] = lambda _: NO_CURVES,
) -> list[Answer]:
    """Answers to requests of one collection, in order, in one round trip to the store. Raises as `search`, for the
    first that is wrong, which it numbers from 0 where there are several."""
    if not requests:
        return []
    began = perf_counter()
    index = catalogue.serving(requests[0].collection)
    embed = embedding([request.query for request in requests], encoder_of)
    asked: list[_Question] = []
    for at, request in enumerate(requests):
        with numbered(at, len(requests)):
            check(request.where, index.fields)
            _check(request, index)
            vectors, spoken = vectors_of(request, index, catalogue, store, embed)
            lists = wanted(request, index, vectors)
        without = spoken | request.without
        queries = {depth: list(nearest(request, lists, without, depth)) for depth in depths_of(request)}
        asked.append(_Question(request, vectors, lists, queries))
    encoded = perf_counter()
    try:
        deep = {query: depth for one in asked for depth, queries in one.queries.items() for query in queries}
        found = searched(index, store, deep)
    except NoSuchCollection as exc:
        for request in requests:
            must_be_empty(request, catalogue, exc)
        found = {}
    curves = curves_of(index)
    asked = [_filled(one, index, store, found, curves) for one in asked]
    stored = perf_counter()
    spent = {"encode": encoded - began, "store": stored - encoded}
    out = []
    for at, one in enumerate(asked):
        with numbered(at, len(requests)):
            out.append(_answered(one, index, store, found, curves, spent))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """A request on its way: its vectors, the lists it asks for, and what the store is asked for so many hits."""

    request: SearchRequest
    vectors: Sequence[AskedVector]
    lists: Sequence[tuple[AskedVector, Modality]]
    queries: Mapping[int, Sequence[Nearest]]


def _answered(
    one: _Question,
    index: Index,
    store: VectorStore,
    found: Mapping[Nearest, Sequence[Found]],
    curves: Curves,
    spent: Mapping[str, float],
) -> Answer:
    began = perf_counter()
    request = one.request
    hits = _ordered(one, found, curves)
    fused_at = perf_counter()
    deadline = None if request.budget is None else fused_at + request.budget
    # Stages look at no more hits than the first step has.
    lists = _lists(one, min(one.queries), found) if request.stages else ()
    asked = Asked(request, index, one.vectors, store, deadline, curves, lists)
    hits, late, stages = chain(hits, asked)
    notes = rough(_lists(one, min(one.queries), found), curves) if request.min_score is not None else []
    hits = _kept(request, hits)
    ended = perf_counter()
    return Answer(
        hits=tuple(hits[request.offset : request.offset + request.limit]),
        encoders={each.space.name: each.space.model for each, _ in one.lists},
        seconds={
            **spent,
            "fuse": fused_at - began,
            "rerank": ended - fused_at,
            "total": sum(spent.values()) + ended - began,
            **{f"rerank {name}": seconds for name, seconds in stages.items()},
        },
        partial=late,
        notes=tuple(dict.fromkeys([*asked.remarks, *notes])),
    )


def _ordered(one: _Question, found: Mapping[Nearest, Sequence[Found]], curves: Curves) -> list[Hit]:
    """The hits in one order. What lists say further down changes the order of no hit above: it may be on a page that
    was shown. So no hit is scored above the last of the step before."""
    hits: list[Hit] = []
    for depth in one.queries:
        more = fused(one.request, _lists(one, depth, found), curves, depth)
        if hits:
            there, least = {hit.asset for hit in hits}, hits[-1].score
            more = [replace(hit, score=min(hit.score, least)) for hit in more if hit.asset not in there]
        hits = [*hits, *more][:depth]
    return hits


def _kept(request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
    """Those that are relevant enough, and of a group no more than are wanted."""
    least = request.min_score
    kept = [hit for hit in hits if least is None or (hit.relevance is not None and hit.relevance >= least)]
    return kept if request.group_by is None else grouped(kept, request.group_by, request.group_size)


def _lists(one: _Question, depth: int, found: Mapping[Nearest, Sequence[Found]]) -> list[Ranked]:
    pairs = zip(one.lists, one.queries[depth], strict=True)
    return [ranked(each, content, found.get(query, ())) for (each, content), query in pairs]


def _filled(
    one: _Question, index: Index, store: VectorStore, found: dict[Nearest, list[Found]], curves: Curves
) -> _Question:
    """The question, asked as deep as its groups and its least relevance need; what the store found for that is in
    `found`."""
    request = one.request
    while request.group_by is not None or request.min_score is not None:
        last = max(one.queries)
        hits, lists = _ordered(one, found, curves), _lists(one, last, found)
        enough = len(_kept(request, hits)) >= request.offset + request.limit
        depth = None if enough else deeper(last, [hits, *(each.points for each in lists)])
        if depth is None:
            break
        cut = [len(found.get(query, ())) >= query.limit for query in one.queries[last]]
        if request.min_score is not None and not may_follow(request, lists, cut, curves, hits):
            break
        queries = [replace(query, limit=TIERS[depth]) for query in one.queries[last]]
        found |= searched(index, store, dict.fromkeys(queries, depth))
        one = replace(one, queries={**one.queries, depth: queries})
    return one


def _check(request: SearchRequest, index: Index) -> None:
    """Raises BadQuery for a space or field that is not there."""
    known = {space.name for space in index.spaces}
    if unknown := sorted(request.weights.keys() - known):
        raise BadQuery(f"there is no space {unknown[0]!r} to weigh; there is: {', '.join(sorted(known))}")
    if request.group_by is not None and request.group_by not in index.fields:
        declared = ", ".join(sorted(index.fields)) or "none"
        raise BadQuery(f"{request.group_by!r} is not a declared field to group by; declared: {declared}")
