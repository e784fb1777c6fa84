"""Examples to vectors: what somebody likes and does not, in every space, and which example a thing is nearest to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from core.points import Stored
from core.ports import Catalogue, EncoderOf, VectorStore
from core.records import Index
from core.spaces import Dense, EmbeddingSpace, Sparse, Vector
from core.types import AssetId, Text
from retrieval.asked import asset_of, combined, embedding, vectors_of
from retrieval.history import Example, faded
from retrieval.recommendation import Because, RecommendRequest, Strategy
from retrieval.request import Hit, Like
from retrieval.stages import AskedVector

AT_ONCE = 256  # assets whose vectors are read in one call
MOST_NEAREST = 32  # vectors of a space that are searched by one by one: the heaviest
MOST_TERMS = 256  # of a sparse vector that is searched by: the heaviest


class Held:
    """The points of assets with their vectors, read in bulk and kept for a batch of people, who like the same things.

    Of blocked assets there is nothing.
    """

    def __init__(self, index: Index, store: VectorStore) -> None:
        self._index, self._store = index, store
        self._points: dict[AssetId, list[Stored]] = {}

    def read(self, ids: Iterable[AssetId]) -> None:
        """So that all of these are here. Raises what the store raises."""
        lacking = sorted({one for one in ids if one not in self._points}, key=lambda one: one.int)
        for at in range(0, len(lacking), AT_ONCE):
            chunk = lacking[at : at + AT_ONCE]
            self._points |= {one: [] for one in chunk}
            for point in self._store.of_assets(self._index, chunk):
                if not point.payload["blocked"]:
                    self._points[asset_of(point.payload["asset"])].append(point)

    def of(self, asset: AssetId) -> Sequence[Stored]:
        """Its points, if it was read."""
        return self._points.get(asset, ())

    def vectors(self, asset: AssetId) -> list[AskedVector]:
        """It as an example: in every space that has it, the mean of its segments of one kind, not of what was read."""
        points = [point for point in self.of(asset) if "source" not in point.payload]
        out = []
        for space in self._index.spaces:
            name = space.vector_name
            for content in sorted(space.modalities):
                mine = [p.vectors[name] for p in points if name in p.vectors and p.payload["content"] == content]
                if mine:
                    out.append(AskedVector(space, content, combined(space, mine, [1 / len(mine)] * len(mine))))
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Liking:
    """An example with its weight as of now, above 0, and what it is in each space."""

    example: Example
    weight: float
    vectors: Sequence[AskedVector]


@dataclass(slots=True)
class Taste:
    """What could be used of somebody's examples, and what could not."""

    liked: list[Liking] = field(default_factory=list)
    disliked: list[Liking] = field(default_factory=list)
    spoken: set[AssetId] = field(default_factory=set)  # assets that are examples
    unknown: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


class Encoded:
    """Words and files as vectors, each made once for a batch of people."""

    def __init__(self, index: Index, catalogue: Catalogue, store: VectorStore, encoder_of: EncoderOf) -> None:
        self._of, self._encoder_of = (index, catalogue, store), encoder_of
        self._texts: dict[Text, list[AskedVector]] = {}

    def vectors(self, request: RecommendRequest, example: Example) -> list[AskedVector]:
        """Raises NoSpaceFor, BadQuery."""
        what = example.what
        if isinstance(what, Text) and what in self._texts:
            return self._texts[what]
        made, _ = vectors_of(request.search(what), *self._of, embedding([what], self._encoder_of))
        if isinstance(what, Text):
            self._texts[what] = made
        return made


def keys_of(requests: Iterable[RecommendRequest]) -> list[str]:
    """All ids and external ids that are examples."""
    return sorted({str(e.what.asset) for request in requests for e in request.examples if isinstance(e.what, Like)})


def taste_of(
    request: RecommendRequest, found: Mapping[str, AssetId], held: Held, encoded: Encoded, now: datetime
) -> Taste:
    """`found`: the assets of `keys_of`, which `held` has read. Raises NoSpaceFor, BadQuery."""
    out = Taste()
    for one in faded(request.examples, request.half_life, now):
        if isinstance(one.what, Like):
            asset = found.get(str(one.what.asset))
            if asset is None:
                out.unknown.append(one.name)
                continue
            out.spoken.add(asset)
            vectors = held.vectors(asset) if one.weight else []
            if one.weight and not vectors:
                out.pending.append(one.name)
                continue
        else:
            vectors = encoded.vectors(request, one)
        if one.weight:
            (out.liked if one.weight > 0 else out.disliked).append(Liking(one, abs(one.weight), vectors))
    return out


def in_spaces(likings: Sequence[Liking]) -> dict[EmbeddingSpace, list[tuple[Liking, AskedVector, float]]]:
    """What is liked in each space; the weight of an example that is there as several kinds is divided among them."""
    out: defaultdict[EmbeddingSpace, list[tuple[Liking, AskedVector, float]]] = defaultdict(list)
    for liking in likings:
        for each in liking.vectors:
            shares = sum(other.space == each.space for other in liking.vectors)
            out[each.space].append((liking, each, liking.weight / shares))
    return out


def asked_by(taste: Taste, strategy: Strategy) -> list[tuple[AskedVector, float]]:
    """The vectors that are searched by, and the weight of each: one a space, or of `best` one an example.

    A sum of cosines is a dot product with the sum of the vectors: so of `sum`, too, one vector is enough.
    """
    disliked = in_spaces(taste.disliked)
    out: list[tuple[AskedVector, float]] = []
    for space, liked in in_spaces(taste.liked).items():
        if strategy is Strategy.BEST:
            heaviest = max(one.weight for one in taste.liked)
            chosen = sorted(liked, key=lambda each: -each[0].weight)[:MOST_NEAREST]
            out += [(each, liking.weight / heaviest) for liking, each, _ in chosen]
            continue
        less = disliked.get(space, [])
        plus, minus = [weight for _, _, weight in liked], [weight for _, _, weight in less]
        if strategy is Strategy.AVERAGE:
            plus = [weight / sum(plus) * (2 if less else 1) for weight in plus]
            minus = [weight / sum(minus) for weight in minus]
        vectors = [each.vector for _, each, _ in (*liked, *less)]
        vector = _short(combined(space, vectors, [*plus, *(-weight for weight in minus)]))
        if np.any(vector.values if isinstance(vector, Sparse) else vector):
            asked = max(liked, key=lambda each: each[2])[1].asked
            out.append((AskedVector(space, asked, vector), 1.0))
    return out


def _short(vector: Vector) -> Vector:
    if not isinstance(vector, Sparse) or len(vector) <= MOST_TERMS:
        return vector
    heaviest = np.sort(np.argsort(-vector.values, kind="stable")[:MOST_TERMS])
    return Sparse(vector.indices[heaviest], vector.values[heaviest])


def known_shares(taste: Taste) -> dict[str, float]:
    """By space, how much of what is liked it knows, by weight: a list of few examples counts for as little."""
    total = sum(one.weight for one in taste.liked)
    held = in_spaces(taste.liked)
    return {space.name: min(1.0, sum(weight for _, _, weight in liked) / total) for space, liked in held.items()}


def because(hits: Collection[Hit], taste: Taste, held: Held) -> dict[AssetId, Because]:
    """Of every hit the example that it is nearest to, in the space where it ranks best. `held` has read the hits."""
    spaces = {space.name: _rows(liked) for space, liked in in_spaces(taste.liked).items()}
    out: dict[AssetId, Because] = {}
    for hit in hits:
        for match in sorted(hit.matches, key=lambda one: (one.rank, one.space)):
            if match.space not in spaces:
                continue
            space, names, rows = spaces[match.space]
            of_it = [p.vectors[space.vector_name] for p in held.of(hit.asset) if space.vector_name in p.vectors]
            if of_it:
                scores = np.stack([scores_of(rows, vector) for vector in of_it]).max(axis=0)
                at = int(scores.argmax())
                out[hit.asset] = Because(example=names[at], space=space.name, score=float(scores[at]))
                break
    return out


def _rows(
    liked: Sequence[tuple[Liking, AskedVector, float]],
) -> tuple[EmbeddingSpace, list[str], Dense | list[Sparse]]:
    return (
        liked[0][1].space,
        [liking.example.name for liking, _, _ in liked],
        stacked([each.vector for _, each, _ in liked]),
    )


def stacked(vectors: Sequence[Vector]) -> Dense | list[Sparse]:
    """The vectors of one space as rows."""
    sparse = [vector for vector in vectors if isinstance(vector, Sparse)]
    return sparse or np.stack([vector for vector in vectors if not isinstance(vector, Sparse)])


def scores_of(rows: Dense | list[Sparse], vector: Vector) -> Dense:
    """The likeness of a vector to each row: f32 (n,)."""
    if isinstance(vector, Sparse) and isinstance(rows, list):
        return np.array([_overlap(row, vector) for row in rows], np.float32)
    assert not isinstance(vector, Sparse)
    assert not isinstance(rows, list)
    return np.asarray(rows @ vector, np.float32)


def _overlap(one: Sparse, other: Sparse) -> float:
    _, mine, theirs = np.intersect1d(one.indices, other.indices, assume_unique=True, return_indices=True)
    return float(one.values[mine] @ other.values[theirs])
