"""Reindexing: another model, other spaces, fields or storage, without a moment in which nothing is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import BadField
from core.fields import parse_fields
from core.records import Collection, Storage
from quiver.evaluating import Evaluating, Qrels, Queries, read_judged
from workers import rebuilding, reindex, wishes
from workers.rebuilding import Progress
from workers.reindex import Standing
from workers.verify import BUDGET, RECALL, Judgements, Verdict, verify
from workers.wishes import Plan, Wish


class Reindexing(Evaluating):
    """What an operator does to the indexes of a collection; a tenant to those of its own. All raise Forbidden else."""

    def reindex_plan(self, collection: str, **wish: Any) -> Plan:
        """What a reindexing would take, measured on a sample of assets; nothing is written. `wish`: as for `reindex`.

        Raises NoSuchCollection, UnknownProfile, MissingExtra, BadModel, BadField, BadQuery, Forbidden.
        """
        kept = self._reindexed(collection)
        said = wishes.plan(self._parts, kept.name, self._wish(kept, **wish))
        return said if self._operates else replace(said, free=None)  # the machine's disk is its operator's

    def reindex(
        self,
        collection: str,
        *,
        switch: bool = False,
        rate: float | None = None,
        anew: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        **wish: Any,
    ) -> Standing:
        """Build another index here and now, beside the one that serves, and verify it; with `switch`, have it serve.

        The wish: `profile` (whose encoders), `spaces` (names of those of the profile that it is to have; else those it
        has, or all of another profile), `fields` (`name=type`, to be added or changed), `drop_fields`, `storage`
        (`quantization`, `m`, `ef_construct`, `on_disk`). What is not said stays. Vectors of spaces that do not change
        are copied. `rate`: assets a second at most; 0: as fast as it can. `anew`: also when nothing would change.
        Stopped anywhere, it goes on when called again, at the rate that was said last.

        Raises Conflict when another reindexing is under way, an index still soaks, or verifying finds something and a
        switch was asked for; Unavailable when a part is down; and as `reindex_plan`.
        """
        kept = self._reindexed(collection)
        reindex.start(self._parts, kept.name, self._wish(kept, **wish), rate=rate, anew=anew)
        if rebuilding.run(self._parts, kept.name, on_progress=on_progress).built:
            verify(self._parts, kept.name)
            if switch:
                return reindex.switch(self._parts, kept.name)
        return reindex.status(self._parts, kept.name)

    def reindex_start(self, collection: str, *, rate: float | None = None, anew: bool = False, **wish: Any) -> Standing:
        """Begin, and leave the build to the workers. Raises as `reindex`, BrokerDown."""
        kept = self._reindexed(collection)
        reindex.start(self._parts, kept.name, self._wish(kept, **wish), rate=rate, anew=anew)
        self._have_built(kept)
        return reindex.status(self._parts, kept.name)

    def reindex_status(self, collection: str) -> Standing:
        """How it stands: which indexes there are, how far the coming one is, what it lacks, what verifying found."""
        return reindex.status(self._parts, self._reindexed(collection).name)

    def reindex_verify(
        self,
        collection: str,
        *,
        sample: int = 64,
        recall: float = RECALL,
        queries: Sequence[str] = (),
        overlap: float = 0.0,
        judged: Queries | None = None,
        qrels: Qrels | None = None,
        budget: float = BUDGET,
    ) -> Verdict:
        """Compare the index that was built with the catalogue, with the one that serves, and with its own models.

        `sample`: assets embedded again. `recall`: of the exact nearest, the part that must be found. `queries`: texts
        that both indexes are asked; the part `overlap` of their nearest must be the same. `judged` and `qrels`:
        queries and their judgements, as `evaluate` takes them; nDCG@10 may fall by `budget`. Raises Conflict when
        nothing is being built; BadQuery, NoSuchPath, MissingExtra for judgements.
        """
        kept = self._reindexed(collection)
        said = self._judgements(kept, judged, qrels, budget) if judged is not None or qrels is not None else None
        return verify(
            self._parts, kept.name, sample=sample, recall=recall, queries=queries, overlap=overlap, judged=said
        )

    def reindex_switch(self, collection: str, *, reason: str | None = None) -> Standing:
        """Have the verified index serve, from one moment to the next. Raises Conflict, with a list, when something that
        is found now would be lost; not with a `reason`, which is kept."""
        return reindex.switch(self._parts, self._reindexed(collection).name, reason=reason)

    def reindex_rollback(self, collection: str, *, reason: str | None = None) -> Standing:
        """Have the index serve again that did before the switch. Raises Conflict when there is none, or it lacks
        something; the latter not with a `reason`."""
        return reindex.rollback(self._parts, self._reindexed(collection).name, reason=reason)

    def reindex_retire(self, collection: str) -> list[str]:
        """Drop the indexes that served before, were rolled back or given up: their ids. There is no way back then."""
        return reindex.retire(self._parts, self._reindexed(collection).name)

    def reindex_abort(self, collection: str, *, reason: str = "") -> Standing:
        """Give up and drop the index that is being built. Raises Conflict when there is none."""
        kept = self._reindexed(collection)
        reindex.abort(self._parts, kept.name, reason=reason)
        return reindex.status(self._parts, kept.name)

    def reindex_pause(self, collection: str, *, reason: str = "") -> Standing:
        """Have nothing more built until it is resumed. Raises Conflict when nothing is being built."""
        kept = self._reindexed(collection)
        reindex.pause(self._parts, kept.name, why=reason)
        return reindex.status(self._parts, kept.name)

    def reindex_resume(self, collection: str, *, rate: float | None = None) -> Standing:
        """Go on, with what failed too; by the workers. Raises Conflict when nothing is being built, BrokerDown."""
        kept = self._reindexed(collection)
        reindex.resume(self._parts, kept.name, rate=rate)
        self._have_built(kept)
        return reindex.status(self._parts, kept.name)

    def reindex_run(self, collection: str, *, on_progress: Callable[[Progress], None] | None = None) -> Standing:
        """Build here and now what was started, and verify it when it is built. Raises Conflict, Unavailable."""
        kept = self._reindexed(collection)
        if rebuilding.run(self._parts, kept.name, on_progress=on_progress).built:
            verify(self._parts, kept.name)
        return reindex.status(self._parts, kept.name)

    def _reindexed(self, label: str) -> Collection:
        return self._governed(label, "reindex")

    def _judgements(self, kept: Collection, queries: Queries | None, qrels: Qrels | None, budget: float) -> Judgements:
        read = read_judged(queries, qrels)
        asked = self._queries(kept, read.queries, {})
        return Judgements(queries=asked, qrels=read.qrels, tenant=self._tenant, budget=budget)

    def _wish(
        self,
        kept: Collection,
        *,
        profile: str | None = None,
        spaces: Iterable[str] | None = None,
        fields: Mapping[str, str] | Iterable[str] | None = None,
        drop_fields: Iterable[str] = (),
        storage: Mapping[str, Any] | None = None,
    ) -> Wish:
        dropped = set(drop_fields)
        if unknown := sorted(dropped - set(kept.fields)):
            raise BadField(
                f"{', '.join(unknown)}: not declared; declared are {', '.join(sorted(kept.fields)) or 'none'}"
            )
        declared = {**kept.fields, **parse_fields(fields or {})}
        serving = self._parts.catalogue.serving(kept.name)
        return Wish(
            profile=None if profile is None else self._parts.encoders.absolute(profile),
            spaces=None if spaces is None else tuple(spaces),
            fields={name: kind for name, kind in declared.items() if name not in dropped},
            storage=None if storage is None else Storage.from_dict({**serving.storage.as_dict(), **storage}),
        )

    def _have_built(self, kept: Collection) -> None:
        if self._parts.settings.broker_url is not None:
            from workers.tasks import enqueue_reindex

            enqueue_reindex(self._parts, kept.name)
        elif self._woken is not None:
            self._woken()
