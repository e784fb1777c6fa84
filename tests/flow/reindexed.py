"""A collection that is reindexed: models whose vectors a person can tell apart, and what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from core.encoders.registry import Encoders
from core.ports import Embeds
from core.records import IndexState
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.spaces import Dense, Vector
from core.stores.memory import MemoryStore
from core.types import Content, Text
from ingest.sources.manifest import Inline
from retrieval.request import Answer, SearchRequest
from tests.doubles import ColourEncoder, PitchEncoder, WordEncoder
from tests.flow.promises import ME
from workers import rebuilding, reindex
from workers.answering import answer_all
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.verify import verify
from workers.wishes import Wish

SWITCHED = Wish(profile="turned")
COLOURS = {"red": "red red", "green": "green", "blue": "a blue cat", "mixed": "red and blue"}


class Turned(ColourEncoder):
    """Another model of the same space: its axes are turned, so that a vector of one says nothing to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.space = replace(self.space, model="turned")
        self.fails: str | None = None

    def encode(self, contents: Sequence[Content]) -> Dense:
        if self.fails and any(isinstance(one, Text) and self.fails in one.value for one in contents):
            raise RuntimeError("the new model choked")
        return np.ascontiguousarray(super().encode(contents)[:, [1, 2, 0, 3]])


class Wide(ColourEncoder):
    """The same name, in more dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.space = replace(self.space, model="wide", dim=6)

    def encode(self, contents: Sequence[Content]) -> Dense:
        return np.pad(super().encode(contents), ((0, 0), (0, 2)))


class Confused(ColourEncoder):
    """A worse model: its queries for one colour find another."""

    def __init__(self) -> None:
        super().__init__()
        self.space = replace(self.space, model="confused")

    def encode_query(self, query: Content) -> Vector:
        return np.ascontiguousarray(self.encode([query])[0][[1, 2, 0, 3]])


TURNED = Turned()


def families() -> dict[str, Any]:
    def toy(_: str) -> list[Embeds]:
        return [ColourEncoder(), WordEncoder()]

    def turned(_: str) -> list[Embeds]:
        return [TURNED, WordEncoder()]

    def wide(_: str) -> list[Embeds]:
        return [Wide(), WordEncoder()]

    def confused(_: str) -> list[Embeds]:
        return [Confused()]

    def hearing(_: str) -> list[Embeds]:
        return [*toy(""), PitchEncoder()]

    return {"toy": toy, "turned": turned, "wide": wide, "confused": confused, "hearing": hearing}


def opened(data: Path, store: Any = None, **settings: Any) -> Parts:
    """Toy parts that know these models, over the reference store or another."""
    said = {"profile": "toy", "lanes": 2, "decode": "inline", "batch": 4, **settings}
    parts = Parts(load_settings(data=data, **said), Encoders(families()))
    if store is not None:
        parts.__dict__["store"] = store
    return parts


def embedded(data: Path, **settings: Any) -> Parts:
    parts = opened(data, MemoryStore(), **settings)
    ensure(parts, "c", {})
    parts.store.create(parts.catalogue.serving("c"))
    return parts


def put(parts: Parts, things: dict[str, str], *, metadata: dict[str, Any] | None = None, index: bool = True) -> None:
    def submit(collection: str, ids: Any) -> None:
        if index:
            index_batch(parts, collection, ids)

    made = parts.catalogue.collection("c")
    items = [Inline(name, text, metadata or {}) for name, text in things.items()]
    assert not register(parts, ME, made, items, submit).refused


def ask(parts: Parts, text: str, **more: Any) -> Answer:
    kept = parts.catalogue.collection("c")
    request = SearchRequest(tenant=ME, collection="c", query=Text(text), **more)
    return answer_all(parts, [request], profile=kept.profile)[0]


def names(parts: Parts, text: str, **more: Any) -> list[str]:
    return [hit.external_id for hit in ask(parts, text, **more).hits]


def rebuilt(parts: Parts, wish: Wish = SWITCHED, **more: Any) -> None:
    """Started and built."""
    reindex.start(parts, "c", wish, **more)
    assert rebuilding.run(parts, "c").built


def switched(parts: Parts, wish: Wish = SWITCHED) -> None:
    """Started, built, verified and switched."""
    rebuilt(parts, wish)
    verdict = verify(parts, "c")
    assert verdict.passed, verdict
    reindex.switch(parts, "c")


def state_of(parts: Parts) -> list[IndexState]:
    """Of every index there was, by age."""
    return [tended.index.state for tended in parts.catalogue.tended("c")]


def check_all(parts: Parts) -> None:
    """Every index that is written to holds exactly what the catalogue says it has, and nothing else."""
    present = {asset.id: asset.generation for asset, _ in parts.catalogue.assets(ME, "c", limit=10_000)}
    for index in parts.catalogue.indexes("c"):
        signed = {asset: generation for asset, generation, _ in parts.catalogue.signed(index, limit=10_000)}
        held: dict[UUID, set[int]] = {}
        for point in parts.store.scroll(index, limit=100_000):
            held.setdefault(UUID(point.payload["asset"]), set()).add(point.payload["generation"])
        assert held == {asset: {generation} for asset, generation in signed.items()}, index.state
        assert all(present[asset] == generation for asset, generation in signed.items()), index.state
        if index.state is IndexState.SERVING:
            assert signed == present
