"""Stages after fusion: a chain of rerankers within one allowance of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Real
from threading import Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from core.errors import Fault, RerankerBroke
from core.ports import VectorStore
from core.records import Index
from core.spaces import EmbeddingSpace, Vector
from core.types import AssetId, Modality
from retrieval.calibration import Curves
from retrieval.request import Effect, Hit, SearchRequest

if TYPE_CHECKING:
    from retrieval.lists import Ranked

MOST_LEFT = 8  # stages that were left behind and still run: as long as there are so many, no further one is begun


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
    curves: Curves = field(default_factory=dict)
    lists: Sequence[Ranked] = ()  # what the hits were made of; none where they are of something else
    notes: dict[AssetId, str] = field(default_factory=dict)  # why a hit stands where it does, for explanations

    remarks: list[str] = field(default_factory=list)  # what is to be known of the answer, of all stages

    def check(self) -> None:
        """Raises OutOfTime when the allowance is used up. To be called between steps that take long."""
        if self.deadline is not None and perf_counter() >= self.deadline:
            raise OutOfTime

    def tell(self, hit: Hit, note: str) -> None:
        """What an explanation is to say of this stage and this hit."""
        self.notes[hit.asset] = note

    def remark(self, note: str) -> None:
        """What is to be known of the answer: `Answer.notes`."""
        self.remarks.append(note)


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
    """The hits after every stage of the request, the stages that there was no time for, and the seconds of each.

    With a deadline a stage runs on a thread of its own and is left behind when it is not done by then, whether it looks
    at the clock or not; what it makes of the hits later is thrown away. Raises RerankerBroke for a stage that fails.
    """
    here, late = list(hits), list[str]()
    spent: dict[str, float] = {}
    for stage in asked.request.stages:
        began = perf_counter()
        mine = replace(asked, notes={})
        try:
            asked.check()
            after = _within(stage, here, mine) if asked.deadline is not None else _ran(stage, here, mine)
        except OutOfTime:
            late.append(stage.name)
            continue
        finally:
            spent[stage.name] = spent.get(stage.name, 0.0) + perf_counter() - began
        here = _told(stage.name, here, after, mine.notes) if asked.request.explain else after
    return here, tuple(late), spent


def _ran(stage: Reranker, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
    """What a stage makes of the hits. The seam of every stage, which may be anybody's code: what it raises of its own
    accord, and hits that it may not make, are RerankerBroke."""
    try:
        made = list(stage.rerank(list(hits), asked))
        _check(made, hits)
    except (Fault, OutOfTime):
        raise
    except Exception as exc:
        raise RerankerBroke(f"stage {stage.name!r}: {type(exc).__name__}: {exc}: leave it out, or mend it") from exc
    return made


def _check(made: Sequence[object], given: Sequence[Hit]) -> None:
    """Raises TypeError, ValueError."""
    there, seen = {hit.asset for hit in given}, set[AssetId]()
    for hit in made:
        if not isinstance(hit, Hit):
            raise TypeError(f"it makes {type(hit).__name__}, which is no hit")
        if hit.asset not in there or hit.asset in seen:
            what = "came twice" if hit.asset in seen else "was not among its hits"
            raise ValueError(f"{hit.external_id!r} {what}")
        seen.add(hit.asset)
        score: object = hit.score
        if not isinstance(score, Real) or not isfinite(score):
            raise ValueError(f"the score of {hit.external_id!r} is {score!r}, which is no finite number")


class _Left:
    """The threads of stages that were left behind: there is no way to end a thread."""

    threads: list[Thread] = []  # noqa: RUF012  # of the whole process, as threads are
    lock = Lock()

    @classmethod
    def full(cls) -> bool:
        with cls.lock:
            cls.threads[:] = [thread for thread in cls.threads if thread.is_alive()]
            return len(cls.threads) >= MOST_LEFT

    @classmethod
    def behind(cls, thread: Thread) -> None:
        with cls.lock:
            cls.threads.append(thread)


def _within(stage: Reranker, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
    """What a stage makes of the hits until the deadline. Raises OutOfTime, and what the stage raises."""
    assert asked.deadline is not None
    if _Left.full():
        raise OutOfTime
    made: list[list[Hit]] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.append(_ran(stage, hits, asked))
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it is raised where the stage was asked for
            raised.append(exc)

    thread = Thread(target=copy_context().run, args=(run,), name=f"stage {stage.name}", daemon=True)
    thread.start()
    thread.join(max(0.0, asked.deadline - perf_counter()))
    if raised:
        raise raised[0]
    if not made:
        _Left.behind(thread)
        raise OutOfTime
    return made[0]


def _told(stage: str, before: Sequence[Hit], after: Sequence[Hit], notes: Mapping[AssetId, str]) -> list[Hit]:
    """The hits after a stage, each with what the stage did to it."""
    was = {hit.asset: (rank, hit.score) for rank, hit in enumerate(before, start=1)}
    out = []
    for rank, hit in enumerate(after, start=1):
        rank_before, score_before = was.get(hit.asset, (None, None))
        told = Effect(
            stage=stage,
            rank_before=rank_before,
            rank=rank,
            score_before=score_before,
            score=hit.score,
            note=notes.get(hit.asset, ""),
        )
        out.append(replace(hit, effects=(*hit.effects, told)))
    return out
