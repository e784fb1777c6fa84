"""Evaluating: judged queries of files or mappings, asked of a collection, and perhaps of another or otherwise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from reprlib import repr as shortly
from typing import Any

from core.errors import BadQuery, Refused
from core.filters import Filter
from core.records import Collection
from quiver.arguments import check
from quiver.asking import Asking, Question, question_of
from retrieval.evaluate import AT, DEPTH, Case, Report
from retrieval.expression import read_where
from retrieval.request import SearchRequest
from workers.evaluating import SAMPLE, Asker, Judging, Query, Tell, embedded, named, report
from workers.trec import PARTS, Line, Read, asked_of, query_line, read_pairs, read_qrels, read_queries

Queries = str | Path | Iterable[Mapping[str, Any]]
Qrels = str | Path | Mapping[str, Mapping[str, int]]
Pairs = str | Path | Iterable[tuple[str, str]]
Settings = Mapping[str, Any]
FIXED = {*PARTS, "limit", "offset", "explain", "record"} - {"where", "modality"}  # not to be set for all queries


class Evaluating(Asking):
    """How good answers are."""

    def evaluate(
        self,
        collection: str,
        queries: Queries | None = None,
        qrels: Qrels | None = None,
        *,
        pairs: Pairs | None = None,
        settings: Settings | None = None,
        against: str | None = None,
        against_settings: Settings | None = None,
        depth: int = DEPTH,
        at: Sequence[int] = AT,
        by: Sequence[str] = (),
        filters: Sequence[str] = (),
        recall_sample: int = SAMPLE,
        seed: int = 0,
        on_progress: Tell | None = None,
    ) -> Report:
        """Ask judged queries and measure the answers; see docs/evaluation.md.

        `queries`: JSON Lines, or mappings, of an id and what `search` takes; `qrels`: TREC's judgements, or query to
        asset to grade; `pairs`: captions and their assets. `settings` are arguments of `search` for all queries;
        `against` (a collection) and `against_settings` are asked the same and compared. `by`: names to slice by, traits
        of queries or fields of assets. `filters`: expressions under which the search is compared with an exact one.

        Raises MissingExtra, NoSuchPath, NoSuchCollection, BadQuery, BadFilter. Lines that cannot be read, queries that
        are refused and assets that are not there are named in the report.
        """
        check({"settings": settings, "against": against, "against_settings": against_settings})
        how = judging_of(at=at, depth=depth, by=by, filters=filters, recall_sample=recall_sample, seed=seed)
        read = read_given(queries, qrels, pairs)
        here = self._asker(collection, read, settings, filters)
        rival = None
        if against is not None or against_settings is not None:
            rival = self._asker(against or collection, read, {**(settings or {}), **(against_settings or {})}, ())
        cases = [case_of(line) for line in read.queries]
        return named(report(here, cases, read.qrels, how, rival=rival, tell=on_progress), read.refused)

    def _asker(self, label: str, read: Read, settings: Settings | None, filters: Sequence[str]) -> Asker:
        """Who answers the queries as these settings have it. A query's files are read when it is asked."""
        kept, said = self._collection(label), checked(settings)
        where: dict[str, Filter] = {}
        for one in filters:
            if (parsed := read_where(one, kept.fields)) is not None:
                where[one] = parsed
        asked = self._queries(kept, read.queries, said)
        return embedded(self._parts, kept, asked, tenant=self._tenant, filters=where, settings=said)

    def _queries(self, kept: Collection, lines: Iterable[Line], settings: Settings) -> list[Query]:
        def query(line: Line) -> Query:
            return Query(
                case=case_of(line),
                make=lambda: self._made(kept, line, settings),
                filtered="where" in {*line.said, *settings},
            )

        return [query(line) for line in lines]

    def _made(self, kept: Collection, line: Line, settings: Settings) -> SearchRequest:
        try:
            return self._request(kept, question_for(line, settings))
        except Refused as exc:
            raise type(exc)(f"{line.place}: {exc}" if line.place else str(exc)) from exc

    @abstractmethod
    def _request(self, kept: Collection, said: Question) -> SearchRequest:
        """As the facade that searches makes it."""


def judging_of(**said: Any) -> Judging:
    """How an evaluation is done, by the names that `evaluate` has for it. Raises BadQuery."""
    check(said)
    rest = {name: said[name] for name in ("at", "depth", "seed")}
    return Judging(by=tuple(said["by"]), sample=said["recall_sample"], **rest)


def read_given(queries: Queries | None, qrels: Qrels | None, pairs: Pairs | None) -> Read:
    """What is given, whatever form it has. Raises BadQuery, NoSuchPath."""
    if (queries is None) != (qrels is None) or (queries is None and pairs is None):
        raise BadQuery("give queries and their judgements, or pairs of a caption and an asset, or both")
    check({"queries": queries, "qrels": qrels, "pairs": pairs})
    read = Read()
    if isinstance(queries, str | Path):
        read_queries(Path(queries), read)
    else:
        for at, row in enumerate(queries or ()):
            _given(read, row, f"query {at}")
    if isinstance(qrels, str | Path):
        read_qrels(Path(qrels), read)
    else:
        read.qrels = {query: dict(grades) for query, grades in (qrels or {}).items()}
    if isinstance(pairs, str | Path):
        read_pairs(Path(pairs), read)
    else:
        pair: Any  # of a caller who is not type-checked
        for at, pair in enumerate(pairs or (), start=1):
            match pair:
                case (str(caption), str(asset)):
                    if _given(read, {"id": f"pair-{at}", "text": caption}, f"pair {at}"):
                        read.qrels[f"pair-{at}"] = {asset: 1}
                case _:
                    read.refused.append(f"pair {at}: it is no caption and asset: {shortly(pair)}")
    if not read.queries:
        why = f": {read.refused[0]}" if read.refused else ""
        raise BadQuery(f"no query can be read{why}")
    return read


def read_judged(queries: Queries | None, qrels: Qrels | None) -> Read:
    """Queries that have judgements, and those. Raises BadQuery for whatever cannot be read, NoSuchPath."""
    read = read_given(queries, qrels, None)
    if read.refused:
        more = f" (and {len(read.refused) - 1} more)" if len(read.refused) > 1 else ""
        raise BadQuery(f"{read.refused[0]}{more}")
    read.queries = [line for line in read.queries if line.id in read.qrels]
    return read


def _given(read: Read, row: Any, place: str) -> bool:
    if not isinstance(row, Mapping):
        read.refused.append(f"{place}: a query is a mapping, not {shortly(row)}")
        return False
    try:
        line = query_line(row, place)
    except BadQuery as exc:
        read.refused.append(f"{place}: {exc}")
        return False
    if any(line.id == other.id for other in read.queries):
        raise BadQuery(f"{place}: {line.id!r} stands twice: give each its own id")
    read.queries.append(line)
    return True


def case_of(line: Line) -> Case:
    """A query as a report speaks of it."""
    return Case(id=line.id, asked=asked_of(line.said), traits=line.traits)


def checked(settings: Settings | None) -> dict[str, Any]:
    """Settings for all queries. Raises BadQuery for what is none."""
    check({"settings": settings})
    said = dict(settings or {})
    known = {each.name for each in fields(Question)} - FIXED
    if unknown := sorted(map(str, said.keys() - known)):
        raise BadQuery(f"{unknown[0]!r} cannot be set for all queries; there is: {', '.join(sorted(known))}")
    check(said)
    return said


def question_for(line: Line, settings: Settings) -> Question:
    """A query under these settings. Raises BadQuery."""
    return question_of({**line.said, **settings})
