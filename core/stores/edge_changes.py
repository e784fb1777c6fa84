"""Brings an optimized copy of an index to what is served by now, asset by asset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from time import sleep, thread_time

import numpy as np

from core.points import Column, Points, Stored
from core.records import Index
from core.spaces import EmbeddingSpace
from core.stores.edge_shard import Shard
from core.stores.edge_types import BATCH
from core.stores.engine import Engine
from core.stores.guards import as_sparse
from core.types import AssetId

_ASSETS = 64  # brought at once: searches come in between


def catch_up(
    read: Callable[[Sequence[AssetId]], list[Stored]], new: Shard | Engine, index: Index, assets: Iterable[AssetId]
) -> None:
    """Make each asset in an optimized copy what it is in the served shard by now, or make it gone.

    It rests for as long as it works: whoever searches meanwhile comes first.
    """
    left = iter(assets)
    while part := list(islice(left, _ASSETS)):
        began = thread_time()
        there = read(part)
        new.forget(index, dict.fromkeys(part))
        for at in range(0, len(there), BATCH):
            new.upsert(index, _points(index, there[at : at + BATCH]))
        sleep(thread_time() - began)


def _points(index: Index, there: Sequence[Stored]) -> Points:
    columns: dict[EmbeddingSpace, Column] = {}
    for space in index.spaces:
        rows = [row for row, point in enumerate(there) if space.vector_name in point.vectors]
        vectors = [there[row].vectors[space.vector_name] for row in rows]
        if rows:
            columns[space] = Column(rows, [as_sparse(v) for v in vectors] if space.sparse else np.asarray(vectors))
    return Points([point.id for point in there], [point.payload for point in there], columns)
