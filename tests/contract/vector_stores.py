"""Every implementation of the VectorStore port, and what tests put into one and ask of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from qdrant_client import QdrantClient

from core.points import Nearest, Scope
from core.ports import VectorStore
from core.records import Index, IndexState
from core.spaces import Metric
from core.stores.edge import EdgeStore
from core.stores.memory import MemoryStore
from core.stores.server import ServerStore, connect
from core.types import Tenant
from tests.serving import ServedStore
from tests.strategies import FIELDS, make_asset, make_points, make_space, unit

SERVER = os.environ.get("QUIVER_TEST_QDRANT") or os.environ.get("QDRANT_URL")  # read before conftest hides it
KINDS = ["memory", "edge", "process", "local", *(["server"] if SERVER else [])]
QUIET = [  # marks: qdrant-client's local mode says what it does without; a server has both
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
WORDS = make_space()
DOTS = make_space("dots", 2, metric=Metric.DOT)
TERMS = make_space("terms", 1000, metric=Metric.DOT, sparse=True)
T = Scope(tenant=Tenant("t"))
MOMENT = datetime(2026, 1, 1, 12, 0, 0, 1, UTC)


def open_store(kind: str, root: Path) -> VectorStore:
    match kind:
        case "memory":
            return MemoryStore()
        case "edge":
            return EdgeStore(root)
        case "process":
            return ServedStore(root)
        case "local":
            return ServerStore(QdrantClient(":memory:"))
        case _:
            assert SERVER is not None
            return connect(SERVER, os.environ.get("QDRANT_API_KEY"))


def make_index(**changes: Any) -> Index:
    said: dict[str, Any] = {
        "id": f"i-{uuid4().hex[:8]}",
        "collection": "c",
        "state": IndexState.BUILDING,
        "spaces": (WORDS, DOTS, TERMS),
        "fields": FIELDS,
    }
    return Index(**(said | changes))


def near(space=WORDS, vector=None, scope=T, **more: Any) -> Nearest:
    return Nearest(space=space, vector=unit(1, 0, 0, 0) if vector is None else vector, scope=scope, **more)


def found(store, index, query) -> list[int]:
    """The numbers of the assets that are found, best first."""
    return [UUID(hit.payload["asset"]).int for hit in store.search(index, [query])[0]]


def put(store, index, *numbers: int, vector=None, blocked=False, **asset: Any) -> None:
    vector = unit(1, 0, 0, 0) if vector is None else vector
    assets = [make_asset(number=n, **asset) for n in numbers]
    store.upsert(index, make_points(assets, {WORDS: [vector] * len(assets)}, blocked=blocked))
