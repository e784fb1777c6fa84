"""Diversity: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) with the vectors of the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadQuery
from core.spaces import EmbeddingSpace, Sparse
from core.types import AssetId
from retrieval.request import Hit
from retrieval.rerank.options import Options
from retrieval.rerank.order import normal, ordered, parted
from retrieval.rerank.vectors import points_of
from retrieval.stages import Asked

DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmr:
    """A stage: one after the other, the hit of the largest `share` x relevance - (1 - `share`) x likeness to the
    likest of those already taken.

    Relevance is the earlier score from 0 to 1 over these hits. Likeness is the cosine of two assets' mean vectors, 0 at
    least, in the space said or else the largest over the dense spaces that both have; 0 when there is none.
    """

    share: float = 0.5
    space: str | None = None
    name: str = "mmr"
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        head, tail = parted(hits, self.depth)
        if self.share == 1 or len(head) < 2:
            return list(hits)
        spaces = [s for s in asked.index.spaces if not s.sparse and self.space in (None, s.name)]
        alike = likenesses(head, spaces, asked)
        relevance = np.array(normal([hit.score for hit in head]))
        scores: dict[AssetId, float] = {}
        nearest, nearest_to = np.zeros(len(head)), np.full(len(head), -1)
        left = np.ones(len(head), bool)
        for _ in head:
            values = np.where(left, self.share * relevance - (1 - self.share) * nearest, -np.inf)
            taken = int(np.argmax(values))  # of equal ones the first, as they stood
            scores[head[taken].asset] = float(values[taken])
            if (of := int(nearest_to[taken])) >= 0:
                asked.tell(head[taken], f"{nearest[taken]:.2f} like {head[of].external_id}")
            left[taken] = False
            nearer = alike[taken] > nearest
            nearest, nearest_to = np.where(nearer, alike[taken], nearest), np.where(nearer, taken, nearest_to)
        place = {asset: at for at, asset in enumerate(scores)}
        return ordered(sorted(head, key=lambda hit: place[hit.asset]), scores, tail)


def mmr(spaces: Sequence[EmbeddingSpace], said: Mapping[str, Any]) -> Mmr:
    """`lambda`, `space`, `depth`. Raises BadQuery."""
    options = Options("mmr", said)
    share, space = options.share("lambda", 0.5), options.text("space")
    depth = options.depth(DEPTH)
    options.done()
    dense = [one.name for one in spaces if not one.sparse]
    if space is not None and space not in dense:
        raise BadQuery(f"mmr: there is no dense space {space!r}; there is: {', '.join(dense) or 'none'}")
    return Mmr(share=share, space=space, depth=depth)


def likenesses(hits: Sequence[Hit], spaces: Sequence[EmbeddingSpace], asked: Asked) -> NDArray[np.float64]:
    """f64 (n, n), 0 to 1."""
    rows = {space: np.zeros((len(hits), space.dim)) for space in spaces}
    for at, (_, points) in enumerate(points_of(hits, asked)):
        for space in spaces:
            held = [v for point in points if (v := point.vectors.get(space.vector_name)) is not None]
            for vector in held:
                if not isinstance(vector, Sparse):
                    rows[space][at] += vector
    out = np.zeros((len(hits), len(hits)))
    for held_rows in rows.values():
        lengths = np.linalg.norm(held_rows, axis=1, keepdims=True)
        unit = np.divide(held_rows, lengths, out=np.zeros_like(held_rows), where=lengths > 0)
        out = np.maximum(out, unit @ unit.T)
    return out
