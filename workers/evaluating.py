"""Evaluation: judged queries are asked, of what serves or of another index, and the answers measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from core.errors import BadQuery, NoSuchAsset, Refused
from core.filters import Filter
from core.records import Collection, Index
from core.runtime.wiring import Parts
from core.types import Tenant
from retrieval.evaluate import (
    AT,
    DEPTH,
    MIXED,
    Case,
    Comparison,
    Found,
    Gap,
    Report,
    Target,
    compared,
    judged,
    relevant,
)
from retrieval.measures import Qrels, figure
from retrieval.request import MAX_LIMIT, Answer, SearchRequest
from workers.probing import Embedded

SAMPLE = 200  # queries that are compared with an exact search
PAIRS = 500  # of a query and an asset, by which modalities are told apart

Tell = Callable[[str, int, int], None]  # what is done, how many are done, of how many


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judging:
    """How an evaluation is done. `by`: what to slice by beside modalities and language."""

    at: Sequence[int] = AT
    depth: int = DEPTH
    by: Sequence[str] = ()
    sample: int = SAMPLE
    pairs: int = PAIRS
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.at or any(type(k) is not int or not 1 <= k <= MAX_LIMIT for k in self.at):
            raise BadQuery(f"depths {list(self.at)}: give whole numbers from 1 to {MAX_LIMIT}")
        if type(self.depth) is not int or not max(self.at) <= self.depth <= MAX_LIMIT:
            raise BadQuery(f"depth is {self.depth}: ask for {max(self.at)} to {MAX_LIMIT} hits")
        if self.sample < 0 or self.pairs < 0:
            raise BadQuery("a sample has 0 queries or more")
        if self.seed < 0:
            raise BadQuery(f"seed is {self.seed}: give 0 or more")


class Asker(Protocol):
    """Who answers the queries of an evaluation, by their ids."""

    @property
    def collection(self) -> str: ...

    @property
    def index(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def filters(self) -> Mapping[str, float | None]:
        """The filters under which `nearest` asks, and what part of the points each leaves. Empty name: none."""
        ...

    def answer(self, case: str, depth: int) -> Answer:
        """So many hits. Raises Refused."""
        ...

    def nearest(self, case: str, at: int, *, where: str, exact: bool) -> Answer | None:
        """Hits before any stage, under a filter; None: the query has none of its own. Raises Refused."""
        ...

    def target(self, name: str) -> tuple[str, Target]:
        """An asset by id or external id: its external id, and what it is. Raises NoSuchAsset."""
        ...

    def gaps(self, pairs: Sequence[tuple[str, str]]) -> list[Gap]:
        """How far spaces keep queries and their assets apart, by id of the query and external id; nothing where vectors
        are not to be seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """A query to be evaluated. It is made when it is asked, so that pictures of all are never held at once."""

    case: Case
    make: Callable[[], SearchRequest]
    filtered: bool = False  # whether it has a filter of its own

    @classmethod
    def of(cls, name: str, request: SearchRequest, **traits: str) -> Query:
        """Of a request that is there."""
        asked = getattr(request.query, "modality", None)
        case = Case(id=name, asked=str(asked or MIXED), traits=traits)
        return cls(case=case, make=lambda: request, filtered=request.where is not None)


def evaluate(
    parts: Parts,
    collection: Collection,
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    tenant: Tenant,
    index: Index | None = None,
    filters: Mapping[str, Filter] | None = None,
    settings: Mapping[str, Any] | None = None,
    how: Judging | None = None,
    rival: Asker | None = None,
    tell: Tell | None = None,
) -> Report:
    """Ask judged queries of an index, the serving one unless another is given, and measure the answers.

    `filters` are those under which the search is compared with an exact one, beside none and those that queries have.
    `rival` is asked the same, and compared. Raises MissingExtra, NoSuchCollection, BadQuery, and what is down.
    """
    asker = embedded(parts, collection, queries, tenant=tenant, index=index, filters=filters, settings=settings)
    return report(asker, [query.case for query in queries], qrels, how or Judging(), rival=rival, tell=tell)


def embedded(
    parts: Parts,
    collection: Collection,
    queries: Sequence[Query],
    *,
    tenant: Tenant,
    index: Index | None = None,
    filters: Mapping[str, Filter] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Embedded:
    """The parts as one who answers."""
    return Embedded(
        parts,
        collection,
        tenant,
        index or parts.catalogue.serving(collection.name),
        {query.case.id: query.make for query in queries},
        any(query.filtered for query in queries),
        filters or {},
        settings or {},
    )


@dataclass(slots=True)
class _Asked:
    """What was answered."""

    run: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    encoders: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, list[str]]:
        """Without scores."""
        return {query: [name for name, _ in hits] for query, hits in self.run.items()}


def report(
    asker: Asker, cases: Sequence[Case], qrels: Qrels, how: Judging, *, rival: Asker | None, tell: Tell | None = None
) -> Report:
    """What `evaluate` says, of anybody who answers."""
    say = tell or (lambda _what, _done, _total: None)
    grades, targets, unknown = _resolved(asker, qrels, say)
    said = _ask(asker, cases, how.depth, "asking", say)
    found = judged(cases, grades, targets, said.names, at=how.at, by=how.by, seed=how.seed)
    none = [case.id for case in cases if case.id not in found.per_query]
    refused = {query for query, _ in said.failed}
    spent = np.array(said.spent or [0.0])
    return Report(
        collection=asker.collection,
        index=asker.index,
        encoders=said.encoders,
        settings=asker.settings,
        depth=how.depth,
        at=tuple(how.at),
        seed=how.seed,
        queries=len(found.per_query),
        judgements=sum(len(grades[query]) for query in found.per_query),
        figures=found.figures,
        slices=found.slices,
        seconds={
            "mean": float(spent.mean()),
            "p50": float(np.percentile(spent, 50)),
            "p95": float(np.percentile(spent, 95)),
            "worst": float(spent.max()),
        },
        recall=_recall(asker, cases, how, say),
        gaps=tuple(asker.gaps(_pairs(grades, targets, found.per_query, how))),
        comparison=_against(rival, cases, qrels, found.per_query, how, say) if rival is not None else None,
        unknown=tuple(unknown),
        unjudged=tuple(none),
        empty=sum(not said.run.get(query) and query not in refused for query in none),
        unasked=tuple(sorted(qrels.keys() - {case.id for case in cases})),
        failed=tuple(said.failed),
        per_query=found.per_query,
        run=said.run,
    )


def _resolved(asker: Asker, qrels: Qrels, say: Tell) -> tuple[dict[str, dict[str, int]], dict[str, Target], list[str]]:
    """The judgements by external id, what their assets are, and those that are not there, which nobody finds."""
    wanted = dict.fromkeys(asset for grades in qrels.values() for asset in grades)
    called: dict[str, str] = {}
    targets: dict[str, Target] = {}
    unknown: list[str] = []
    for done, asset in enumerate(wanted, start=1):
        try:
            called[asset], target = asker.target(asset)
            targets[called[asset]] = target
        except NoSuchAsset:
            unknown.append(asset)
        say("looking up assets", done, len(wanted))
    grades: dict[str, dict[str, int]] = {}
    for query, held in qrels.items():
        here = grades.setdefault(query, {})
        for asset, grade in held.items():
            name = called.get(asset, asset)
            here[name] = max(grade, here.get(name, 0))  # by its id and by its name: one asset
    return grades, targets, unknown


def _ask(asker: Asker, cases: Sequence[Case], depth: int, what: str, say: Tell) -> _Asked:
    """One at a time, as people ask: so that the time it takes is told as it is."""
    out = _Asked()
    for done, case in enumerate(cases, start=1):
        try:
            answer = asker.answer(case.id, depth)
        except Refused as fault:
            out.failed.append((case.id, f"{fault.kind}: {fault}"))
        else:
            out.run[case.id] = [(hit.external_id, hit.score) for hit in answer.hits]
            out.spent.append(answer.seconds.get("total", 0.0))
            out.encoders |= answer.encoders
        say(what, done, len(cases))
    if out.failed and not out.run:
        raise BadQuery(f"no query could be asked; the first: {out.failed[0][1]}")
    return out


def _recall(asker: Asker, cases: Sequence[Case], how: Judging, say: Tell) -> tuple[Found, ...]:
    """Under each filter: of what an exact search finds, how much the search finds."""
    rng, at = np.random.default_rng(how.seed), max(how.at)
    chosen = sorted(rng.choice(len(cases), min(how.sample, len(cases)), replace=False)) if cases else []
    out, total = [], len(chosen) * len(asker.filters)
    for turn, (where, share) in enumerate(asker.filters.items()):
        values = []
        for done, row in enumerate(chosen, start=1):
            say("comparing with exact searches", turn * len(chosen) + done, total)
            try:
                exactly = asker.nearest(cases[row].id, at, where=where, exact=True)
                found = asker.nearest(cases[row].id, at, where=where, exact=False)
            except Refused:  # it is among those that failed already
                continue
            if exactly is not None and found is not None and exactly.hits:
                right = {hit.asset for hit in exactly.hits}
                values.append(len(right & {hit.asset for hit in found.hits}) / len(right))
        if values:
            mean = figure(values, seed=how.seed)
            out.append(
                Found(where=where, selectivity=share, queries=len(values), at=at, recall=mean, worst=min(values))
            )
    return tuple(out)


def _pairs(
    grades: Qrels, targets: Mapping[str, Target], measured: Mapping[str, object], how: Judging
) -> list[tuple[str, str]]:
    """Some queries, each with what is relevant to it and there."""
    pairs = [(query, asset) for query in measured for asset in relevant(grades[query]) if asset in targets]
    rng = np.random.default_rng(how.seed)
    return [pairs[row] for row in sorted(rng.choice(len(pairs), min(how.pairs, len(pairs)), replace=False))]


def _against(
    rival: Asker, cases: Sequence[Case], qrels: Qrels, here: Mapping[str, Mapping[str, float]], how: Judging, say: Tell
) -> Comparison:
    grades, targets, unknown = _resolved(rival, qrels, say)
    asked = [case for case in cases if case.id in here]
    said = _ask(rival, asked, how.depth, "asking the other", say)
    there = judged(asked, grades, targets, said.names, at=how.at, seed=how.seed)
    return Comparison(
        collection=rival.collection,
        index=rival.index,
        settings=rival.settings,
        differences=compared(here, there.per_query, how.seed),
        per_query=there.per_query,
        failed=tuple(said.failed),
        unknown=tuple(unknown),
    )


def named(found: Report, refused: Sequence[str]) -> Report:
    """With the lines that could not be read."""
    return replace(found, refused=tuple(refused))
