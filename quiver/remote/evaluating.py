"""Evaluating a server: its answers are measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import Refused
from core.filters import Filter
from quiver.arguments import check
from quiver.asking import Question
from quiver.evaluating import Pairs, Qrels, Queries, Settings, case_of, checked, judging_of, question_for, read_given
from quiver.remote.judging import Judging as Feedback
from retrieval.evaluate import AT, DEPTH, Gap, Report, Target
from retrieval.request import Answer
from workers.evaluating import SAMPLE, Tell, named, report
from workers.probing import OWN
from workers.trec import Line


class Evaluating(Feedback):
    """How good a server's answers are."""

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
        """As `Quiver.evaluate`, without the modality gap: a server does not show its vectors."""
        check({"settings": settings, "against": against, "against_settings": against_settings})
        how = judging_of(at=at, depth=depth, by=by, filters=filters, recall_sample=recall_sample, seed=seed)
        read = read_given(queries, qrels, pairs)
        here = _Server(self, collection, read.queries, checked(settings), filters)
        rival = None
        if against is not None or against_settings is not None:
            said = checked({**(settings or {}), **(against_settings or {})})
            rival = _Server(self, against or collection, read.queries, said, ())
        cases = [case_of(line) for line in read.queries]
        return named(report(here, cases, read.qrels, how, rival=rival, tell=on_progress), read.refused)


class _Server:
    """A server as one who answers the queries of an evaluation."""

    index = ""  # the server's to know

    def __init__(
        self,
        door: Feedback,
        collection: str,
        lines: Sequence[Line],
        settings: Mapping[str, Any],
        filters: Sequence[str],
    ) -> None:
        door.status(collection)  # raises NoSuchCollection
        self.collection, self.settings = collection, settings
        self._door = door
        self._lines = {line.id: line for line in lines}
        self._filters = filters

    @property
    def filters(self) -> Mapping[str, float | None]:
        own = any("where" in {*line.said, *self.settings} for line in self._lines.values())
        return {"": 1.0} | ({OWN: None} if own else {}) | dict.fromkeys(self._filters)

    def answer(self, case: str, depth: int) -> Answer:
        try:
            return self._ask(replace(self._question(case), limit=depth, offset=0, explain=False))
        except Refused as exc:
            place = self._lines[case].place
            raise type(exc)(f"{place}: {exc}" if place else str(exc)) from exc

    def nearest(self, case: str, at: int, *, where: str, exact: bool) -> Answer | None:
        question = self._question(case)
        chosen: str | Filter | Mapping[str, Any] | None = question.where if where == OWN else where or None
        if where == OWN and chosen is None:
            return None
        bare = replace(question, where=chosen, limit=at, rerank=(), min_score=None, group_by=None)
        return self._ask(replace(bare, exact=exact, offset=0, explain=False))

    def target(self, name: str) -> tuple[str, Target]:
        asset = self._door.show(self.collection, name).asset
        return asset.external_id, Target(modality=asset.modality, metadata=asset.metadata)

    def gaps(self, _pairs: Sequence[tuple[str, str]]) -> list[Gap]:
        return []

    def _question(self, case: str) -> Question:
        return replace(question_for(self._lines[case], self.settings), record=False)

    def _ask(self, question: Question) -> Answer:
        return self._door.search_many(self.collection, [question])[0]
