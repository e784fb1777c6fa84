"""Feeds for people at 100,000 things on Qdrant Edge, who have seen 1,000,000 between them.

    python -m benchmarks.recommend [things] [people]

Vectors as in `benchmarks.search`. Each person has 20 examples out of two clusters, and has seen 1,000,000 / people
things, half of them the nearest to an example, where they cost most. Each page is checked: full, and nothing seen.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.search import INDEX, SPACE, TENANT, batches, clustered
from core.stores.edge import EdgeStore
from core.types import AssetId
from retrieval.history import Example
from retrieval.recommend import recommend_all
from retrieval.recommendation import Recommendation, RecommendRequest, Strategy
from retrieval.request import Like

OUT = Path("docs/benchmarks/recommend.json")
SEEN, EXAMPLES, LIMIT, AT_ONCE = 1_000_000, 20, 20, 64


class Known:
    """A catalogue that knows every thing by its name: SQL is measured elsewhere."""

    def serving(self, _collection: str) -> Any:
        """The index."""
        return INDEX

    def find(self, _tenant: str, _collection: str, keys: list[str]) -> dict[str, AssetId]:
        """By external id."""
        return {key: AssetId(UUID(int=int(key.partition(".")[0]))) for key in keys}


def main(things: int = 100_000, people: int = 1_000) -> None:
    """Print people a second for each strategy."""
    vectors = clustered(things, 1)
    rng = np.random.default_rng(7)
    starts = rng.integers(0, things, people)
    near = np.argsort(-(vectors[starts] @ vectors.T), axis=1)[:, : SEEN // people // 2 + EXAMPLES]
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeStore(Path(folder))
        store.create(INDEX)
        for points in batches(vectors):
            store.upsert(INDEX, points)
        store.flush(INDEX)
        store.optimize(INDEX)
        said: dict[str, Any] = {"things": things, "people": people, "seen": SEEN, "limit": LIMIT}
        for strategy in Strategy:
            requests = []
            for at in range(people):
                chosen = rng.choice(near[at], EXAMPLES, replace=False)
                seen = {f"{n}.txt" for n in (*near[at], *rng.integers(0, things, SEEN // people // 2))}
                examples = tuple(Example(Like(f"{n}.txt"), f"{n}.txt") for n in chosen)
                requests.append(
                    RecommendRequest(
                        tenant=TENANT,
                        collection="bench",
                        examples=examples,
                        limit=LIMIT,
                        strategy=strategy,
                        seen=frozenset(seen),
                    )
                )
            began = perf_counter()
            for start in range(0, people, AT_ONCE):
                some = requests[start : start + AT_ONCE]
                known: Any = Known()
                made = recommend_all(some, catalogue=known, store=store, encoder_of=_none)
                for request, one in zip(some, made, strict=True):
                    assert isinstance(one, Recommendation)
                    assert len(one.items) == LIMIT
                    assert not {hit.external_id for hit in one.hits} & request.seen
            said[str(strategy)] = round(people / (perf_counter() - began), 1)
        store.close()
    print(json.dumps(said))
    OUT.write_text(json.dumps(said | {"things": things, "people": people, "seen": SEEN // people}, indent=1) + "\n")


def _none(_space: object) -> Any:
    raise AssertionError(f"nothing is encoded here, least of all by {SPACE.name}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
