"""A query as vectors: encoded, taken from the index, or mixed of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

import numpy as np

from core.errors import BadPoint, BadQuery, IndexDrifted, NoSpaceFor, NoSuchCollection
from core.points import check_vectors
from core.ports import Catalogue, EncoderOf, VectorStore
from core.records import Index, State
from core.spaces import Dense, EmbeddingSpace, Metric, Sparse, Vector
from core.types import AssetId, Content, Modality
from retrieval.request import InSpace, Like, Mixture, Part, Query, SearchRequest, Single, singles
from retrieval.stages import AskedVector

Embed = Callable[[EmbeddingSpace, Content], Vector]


def embedding(queries: Iterable[Query], encoder_of: EncoderOf) -> Embed:
    """What embeds that which these queries ask by: in each space all of a kind at once, when the first of it is wanted.
    One after the other takes several times as long."""
    contents = [one for query in queries for one in singles(query) if not isinstance(one, (Like, InSpace))]
    made: dict[tuple[EmbeddingSpace, int], Vector] = {}

    def embed(space: EmbeddingSpace, what: Content) -> Vector:
        if (space, id(what)) not in made:  # by what they are, not by what they say: pixels do not compare
            alike = [one for one in contents if one.modality is what.modality]
            rows = encoder_of(space).encode_queries(alike)
            made.update({(space, id(one)): rows[at] for at, one in enumerate(alike)})
        return made[space, id(what)]

    return embed


def vectors_of(
    request: SearchRequest, index: Index, catalogue: Catalogue, store: VectorStore, embed: Embed
) -> tuple[list[AskedVector], frozenset[AssetId]]:
    """The vectors of a query that `embed` was made for, and the assets that it speaks of, which are no answer to it.

    Raises NoSuchAsset, BadQuery, NoSpaceFor, IndexDrifted, and what encoders raise.
    """
    parts = request.query.parts if isinstance(request.query, Mixture) else (Part(request.query),)
    spoken: set[AssetId] = set()
    made: list[list[AskedVector]] = []
    for part in parts:
        if isinstance(part.what, Like):
            asset = catalogue.asset(request.tenant, request.collection, part.what.asset)
            spoken.add(asset.id)
            made.append(_stored(request, index, catalogue, store, asset.id, asset.external_id))
        else:
            made.append(_encoded(request, index, part.what, embed))
    if isinstance(request.query, Mixture):
        return _mixed(parts, made), frozenset(spoken)
    return made[0], frozenset(spoken)


def _encoded(request: SearchRequest, index: Index, what: Single, embed: Embed) -> list[AskedVector]:
    if isinstance(what, InSpace):
        return [_given(index, what)]
    assert not isinstance(what, Like)
    asked = what.modality
    out = [AskedVector(space, asked, embed(space, what)) for space in index.spaces if asked in space.modalities]
    if not out:
        raise NoSpaceFor(f"no space of {request.collection!r} can embed {asked} queries: ask by something else")
    return out


def _given(index: Index, what: InSpace) -> AskedVector:
    """A vector that the caller made. Raises BadQuery unless it is one of the space."""
    space = next((s for s in index.spaces if what.space in (s.name, s.vector_name)), None)
    if space is None:
        known = ", ".join(s.name for s in index.spaces)
        raise BadQuery(f"there is no space {what.space!r} in {index.collection!r}; there is: {known}")
    vector = what.vector
    if space.sparse is not isinstance(vector, Sparse):
        kind = "sparse: give `indices` and `values`" if space.sparse else "dense: give `values` alone"
        raise BadQuery(f"space {space.name!r} is {kind}")
    if not isinstance(vector, Sparse):
        vector = np.asarray(vector, np.float32)
        if vector.shape != (space.dim,):
            raise BadQuery(f"a vector of {space.name!r} has {space.dim} values, this one {_shape(vector)}")
        if not np.isfinite(vector).all():
            raise BadQuery(f"a value of the vector of {space.name!r} is not finite")
        if space.metric is Metric.COSINE:
            length = float(np.linalg.norm(vector))
            if not length:
                raise BadQuery(f"{space.name}: a vector of zeros points nowhere")
            vector = np.asarray(vector / length, np.float32)
    try:
        check_vectors(space, [vector] if isinstance(vector, Sparse) else vector[None])
    except BadPoint as exc:
        raise BadQuery(f"the vector is none of {space.name!r}: {exc}") from exc
    asked = what.modality or (Modality.TEXT if Modality.TEXT in space.modalities else min(space.modalities))
    return AskedVector(space, asked, vector)


def _shape(vector: Dense) -> str:
    return str(len(vector)) if vector.ndim == 1 else " x ".join(map(str, vector.shape)) or "none"


def _stored(
    request: SearchRequest, index: Index, catalogue: Catalogue, store: VectorStore, asset: AssetId, name: str
) -> list[AskedVector]:
    """An asset as a query: in every space that holds it the mean of its segments of one kind, not of what was read."""
    try:
        points = [point for point in store.of_assets(index, [asset]) if "source" not in point.payload]
    except NoSuchCollection as exc:
        must_be_empty(request, catalogue, exc)
        points = []
    out = []
    for space in index.spaces:
        for content in sorted(space.modalities):
            held = space.vector_name
            mine = [p.vectors[held] for p in points if held in p.vectors and p.payload["content"] == content]
            if mine:
                out.append(AskedVector(space, content, combined(space, mine, [1 / len(mine)] * len(mine))))
    if not out:
        raise BadQuery(f"{name!r} is not indexed yet: wait for it, or see `quiver status`")
    return out


def _mixed(parts: Sequence[Part], made: Sequence[Sequence[AskedVector]]) -> list[AskedVector]:
    """One vector a space: of the spaces that know every part; where there is none, of all that know what is wanted."""
    by_space: defaultdict[EmbeddingSpace, list[tuple[Part, AskedVector, float]]] = defaultdict(list)
    for part, vectors in zip(parts, made, strict=True):
        for each in vectors:
            shares = sum(other.space == each.space for other in vectors)
            by_space[each.space].append((part, each, part.weight / shares))
    whole = [space for space, held in by_space.items() if len({id(part) for part, _, _ in held}) == len(parts)]
    out = list(_sums(by_space, whole or list(by_space)))
    if not out:
        raise BadQuery("the parts cancel each other out: give them other weights")
    return out


def _sums(
    by_space: dict[EmbeddingSpace, list[tuple[Part, AskedVector, float]]], spaces: Sequence[EmbeddingSpace]
) -> Iterator[AskedVector]:
    for space in spaces:
        held = by_space[space]
        wanted = [(weight, each.asked) for _, each, weight in held if weight > 0]
        if wanted:
            vector = combined(space, [each.vector for _, each, _ in held], [weight for _, _, weight in held])
            if np.any(vector.values if isinstance(vector, Sparse) else vector):
                yield AskedVector(space, max(wanted, key=lambda pair: pair[0])[1], vector)


def combined(space: EmbeddingSpace, vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """The weighted sum, of unit length where the metric is cosine; of a sparse space what is positive of it."""
    if len(vectors) == 1 and weights[0] == 1:
        return vectors[0]
    if space.sparse:
        dense = np.zeros(space.dim, np.float32)
        for vector, weight in zip(vectors, weights, strict=True):
            if isinstance(vector, Sparse):
                dense[vector.indices] += weight * vector.values
        at = np.flatnonzero(dense > 0).astype(np.uint32)
        return Sparse(at, dense[at])
    rows = np.stack([vector for vector in vectors if not isinstance(vector, Sparse)])
    total = np.asarray(weights, np.float32) @ rows
    length = float(np.linalg.norm(total))
    if length <= 1e-6:
        return np.zeros(space.dim, np.float32)
    return np.asarray(total / length if space.metric is Metric.COSINE else total, np.float32)


def must_be_empty(request: SearchRequest, catalogue: Catalogue, missing: NoSuchCollection) -> None:
    """The store has no such index. It is made when the first asset is indexed: until then there is nothing to find."""
    if indexed := catalogue.counts(request.tenant, request.collection)[State.INDEXED]:
        raise IndexDrifted(
            f"{indexed} assets of {request.collection!r} are indexed by the catalogue, but the store has no index of "
            "theirs: `quiver reconcile --repair` indexes them again"
        ) from missing


def asset_of(said: object) -> AssetId:
    """The asset that a payload names."""
    return AssetId(UUID(str(said)))
