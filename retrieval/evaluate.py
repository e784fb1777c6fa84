"""From queries, judgements and ranked answers to a report, whole and in slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from core.types import Modality
from retrieval.measures import Apart, Difference, Figure, Qrels, Run, Values, difference, figure, measured, names

AT = (1, 5, 10)  # depths of recall, precision and nDCG
DEPTH = 100  # hits asked for
MIXED = "mixture"  # what a query of several parts is of
MODALITY, LANGUAGE = "modality", "language"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query as a report speaks of it: its name, what it is of, and what else is said of it, its language say."""

    id: str
    asked: str  # a modality, or MIXED
    traits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An asset that judgements name: what it is, and its metadata."""

    modality: Modality
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some queries, or of all queries some of what is relevant to them."""

    by: str
    value: str
    queries: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The answers to judged queries."""

    figures: Mapping[str, Figure]  # by measure
    slices: tuple[Slice, ...]
    per_query: Mapping[str, Mapping[str, float]]  # query to measure to value


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many of the hits of an exact search the search through the graph finds."""

    where: str  # the filter; empty: none; else as it was written
    selectivity: float | None  # of the points, those that the filter leaves; None: it differs by query
    queries: int
    at: int
    recall: Figure
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The modality gap of a space, between queries of one modality and content of another."""

    space: str
    asked: Modality
    content: Modality
    apart: Apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same queries asked of something else, or otherwise."""

    collection: str
    index: str
    settings: Mapping[str, Any]
    differences: tuple[Difference, ...]
    per_query: Mapping[str, Mapping[str, float]]
    failed: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an evaluation found. Nothing is left out in silence: what was not measured is named."""

    collection: str
    index: str  # empty where it is a server's to know
    encoders: Mapping[str, str]
    settings: Mapping[str, Any]
    depth: int
    at: tuple[int, ...]
    seed: int
    queries: int  # that were measured
    judgements: int  # of these
    figures: Mapping[str, Figure]
    slices: tuple[Slice, ...]
    seconds: Mapping[str, float]  # of a search: mean, p50, p95, worst
    recall: tuple[Found, ...]
    gaps: tuple[Gap, ...]
    comparison: Comparison | None
    unknown: tuple[str, ...]  # assets that are judged and not there: they count as not found
    unjudged: tuple[str, ...]  # queries that nothing is relevant to: in no figure
    empty: int  # of these, how many were answered with nothing
    unasked: tuple[str, ...]  # queries that are judged and not given
    failed: tuple[tuple[str, str], ...]  # queries that were refused, and why: they count as not answered
    refused: tuple[str, ...] = ()  # lines of the files that could not be read, and why
    per_query: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    run: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)  # query to assets and scores

    @property
    def ok(self) -> bool:
        """Whether every line and every query could be used."""
        return not (self.refused or self.failed or self.unknown or self.unasked)

    def as_dict(self) -> dict[str, Any]:
        """All but the run, for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "run"} | {"ok": self.ok}


def judged(
    cases: Sequence[Case],
    qrels: Qrels,
    targets: Mapping[str, Target],
    run: Run,
    *,
    at: Sequence[int] = AT,
    by: Sequence[str] = (),
    seed: int = 0,
) -> Judged:
    """Measures of all cases that something is relevant to, and of slices: by the modalities of query and asset, by
    language, and by each name in `by`, which is a trait of queries or else a field of assets.

    A slice by assets has all queries that one of them is relevant to, and only these as relevant; the answers stay as
    they are, so that what is drowned by others shows.
    """
    kept = {case.id: qrels[case.id] for case in cases if relevant(qrels.get(case.id, {}))}
    values = measured(kept, run, at)
    slices = []
    for name, value, part in _slices(cases, kept, targets, by):
        held = measured(part, run, at)
        slices.append(Slice(by=name, value=value, queries=len(part), figures=_figures(held, seed)))
    return Judged(figures=_figures(values, seed), slices=tuple(slices), per_query=_by_query(values))


def relevant(grades: Mapping[str, int]) -> list[str]:
    """The assets that are an answer."""
    return [asset for asset, grade in grades.items() if grade > 0]


def compared(
    here: Mapping[str, Mapping[str, float]], there: Mapping[str, Mapping[str, float]], seed: int
) -> tuple[Difference, ...]:
    """Each measure of the same queries, asked in two ways."""
    both = sorted(here.keys() & there.keys())
    if not both:
        return ()
    return tuple(
        difference(name, [here[q][name] for q in both], [there[q][name] for q in both], seed=seed)
        for name in here[both[0]]
        if not name.startswith("Judged")
    )


def _figures(values: Values, seed: int) -> dict[str, Figure]:
    return {name: figure(list(held.values()), seed=seed) for name, held in values.items() if held}


def _by_query(values: Values) -> dict[str, dict[str, float]]:
    queries = next(iter(values.values()), {})
    return {query: {name: held[query] for name, held in values.items()} for query in queries}


def _slices(
    cases: Sequence[Case], kept: Qrels, targets: Mapping[str, Target], by: Sequence[str]
) -> Iterator[tuple[str, str, Qrels]]:
    """Name, value and judgements of every slice; by one value alone there is nothing to slice but modalities."""
    asked = {case.id: case for case in cases if case.id in kept}
    pairs: dict[str, dict[str, dict[str, int]]] = {}
    for query, grades in kept.items():
        for asset in relevant(grades):
            if asset in targets:
                pair = f"{asked[query].asked} → {targets[asset].modality}"
                pairs.setdefault(pair, {}).setdefault(query, {})[asset] = grades[asset]
    yield from ((MODALITY, pair, pairs[pair]) for pair in sorted(pairs))
    for name in dict.fromkeys((LANGUAGE, *by)):
        parts: dict[str, dict[str, dict[str, int]]] = {}
        if any(name in case.traits for case in asked.values()):
            for query, case in asked.items():
                parts.setdefault(case.traits.get(name, "(none)"), {})[query] = dict(kept[query])
        elif name != LANGUAGE or name in by:
            for query, grades in kept.items():
                for asset in relevant(grades):
                    for value in _values(targets.get(asset), name):
                        parts.setdefault(value, {}).setdefault(query, {})[asset] = grades[asset]
        yield from ((name, value, parts[value]) for value in sorted(parts))


def _values(target: Target | None, name: str) -> Iterable[str]:
    held = target.metadata.get(name) if target is not None else None
    several = held if isinstance(held, (list, tuple)) else [held]
    return dict.fromkeys("(none)" if value is None else str(value) for value in several) if target is not None else ()


def measures_of(report: Report) -> tuple[str, ...]:
    """The measures of a report, in the order in which they are shown."""
    return tuple(name for name in names(report.at) if name in report.figures)
