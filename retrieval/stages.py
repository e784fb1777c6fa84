"""Stages after fusion: a chain of rerankers within one allowance of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

from core.ports import VectorStore
from core.records import Index
from core.spaces import EmbeddingSpace, Vector
from core.types import Modality
from retrieval.request import Effect, Hit, SearchRequest


class OutOfTime(Exception):
    """A stage gave up because the allowance is used up: the order before it stands."""


@dataclass(frozen=True, slots=True, eq=False)
class AskedVector:
    """A query in one space: what it was a vector of, and the vector."""

    space: EmbeddingSpace
    asked: Modality
    vector: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a stage may know of the query."""

    request: SearchRequest
    index: Index
    vectors: Sequence[AskedVector]
    store: VectorStore
    deadline: float | None = None  # of `time.perf_counter`; None: as long as it takes

    def check(self) -> None:
        """Raises OutOfTime when the allowance is used up. To be called between steps that take long."""
        if self.deadline is not None and perf_counter() >= self.deadline:
            raise OutOfTime


class Reranker(Protocol):
    """A stage: hits, best first, to hits, best first. It may drop hits and invents none."""

    @property
    def name(self) -> str:
        """What explanations call it."""
        ...

    @property
    def depth(self) -> int:
        """How many hits it is to be given at least, where the store has them; 0: as many as are asked for."""
        ...

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> Sequence[Hit]:
        """Hits with their new scores, in order. Raises OutOfTime, and what the ports raise."""
        ...


def chain(hits: Sequence[Hit], asked: Asked) -> tuple[list[Hit], tuple[str, ...], dict[str, float]]:
    """The hits after every stage of the request, the stages that there was no time for, and the seconds of each."""
    here, late = list(hits), list[str]()
    spent: dict[str, float] = {}
    for stage in asked.request.stages:
        began = perf_counter()
        try:
            asked.check()
            after = list(stage.rerank(here, asked))
        except OutOfTime:
            late.append(stage.name)
            continue
        finally:
            spent[stage.name] = spent.get(stage.name, 0.0) + perf_counter() - began
        here = _told(stage.name, here, after) if asked.request.explain else after
    return here, tuple(late), spent


def _told(stage: str, before: Sequence[Hit], after: Sequence[Hit]) -> list[Hit]:
    """The hits after a stage, each with what the stage did to it."""
    was = {hit.asset: (rank, hit.score) for rank, hit in enumerate(before, start=1)}
    out = []
    for rank, hit in enumerate(after, start=1):
        rank_before, score_before = was.get(hit.asset, (None, None))
        told = Effect(stage=stage, rank_before=rank_before, rank=rank, score_before=score_before, score=hit.score)
        out.append(replace(hit, effects=(*hit.effects, told)))
    return out
