"""Reindexing on a server, whose workers build."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from core.errors import BadQuery, Conflict
from core.fields import FieldType, parse_fields
from core.indexes import Coverage, Tended
from core.records import Index, IndexState, Storage
from core.spaces import EmbeddingSpace
from core.types import Modality, Reading
from quiver.evaluating import Qrels, Queries, question_for, read_judged
from quiver.remote.asking import Asking, place_of
from quiver.remote.questions import body_of
from workers.rebuilding import Progress
from workers.rehearsal import Rehearsal
from workers.reindex import Standing
from workers.verify import BUDGET, RECALL, Check, Verdict
from workers.wishes import Plan

LONGEST = 1800.0  # seconds that an answer to what is measured or compared may take
LOOK = 0.2  # seconds between looks at a build, at least
SHARE = 0.1  # of the time, that looking at it may take


class Reindexing(Asking):
    """What an administrator does to the indexes of a collection; who may is said in docs/http.md."""

    def reindex_plan(self, collection: str, **wish: Any) -> Plan:
        """As `Quiver.reindex_plan`, by the server's measure."""
        said = self._wire.post(_place(collection, "plan"), _wish(**wish), seconds=LONGEST)
        return Plan(
            **{
                **said,
                **{name: tuple(said[name]) for name in _NAMES},
                **{name: Storage.from_dict(said[name]) for name in ("storage", "storage_was")},
                "sample": Rehearsal(
                    **{
                        **said["sample"],
                        "each": {Modality(kind): seconds for kind, seconds in said["sample"]["each"].items()},
                        "messages": tuple(said["sample"]["messages"]),
                    }
                ),
            }
        )

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
        """As `Quiver.reindex`: the server's workers build, and it is waited for."""
        self.reindex_start(collection, rate=rate, anew=anew, **wish)
        if self._built(collection, on_progress):
            self.reindex_verify(collection)
            if switch:
                return self.reindex_switch(collection)
        return self.reindex_status(collection)

    def reindex_start(self, collection: str, *, rate: float | None = None, anew: bool = False, **wish: Any) -> Standing:
        """As `Quiver.reindex_start`."""
        return _standing(self._wire.post(_place(collection, "start"), _wish(**wish) | {"rate": rate, "anew": anew}))

    def reindex_status(self, collection: str) -> Standing:
        """As `Quiver.reindex_status`."""
        return _standing(self._wire.get(_place(collection)))

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
        """As `Quiver.reindex_verify`. The verdict is in the status, too, if the answer is not waited for."""
        body = {
            "sample": sample,
            "recall": recall,
            "queries": list(queries),
            "overlap": overlap,
            "judged": _judged(judged, qrels) if judged is not None or qrels is not None else [],
            "budget": budget,
        }
        said = self._wire.post(_place(collection, "verify"), body, seconds=LONGEST)
        return Verdict(
            index=said["index"], passed=said["passed"], checks=tuple(Check(**check) for check in said["checks"])
        )

    def reindex_switch(self, collection: str, *, reason: str | None = None) -> Standing:
        """As `Quiver.reindex_switch`."""
        return _standing(self._wire.post(_place(collection, "switch"), {"reason": reason}))

    def reindex_rollback(self, collection: str, *, reason: str | None = None) -> Standing:
        """As `Quiver.reindex_rollback`."""
        return _standing(self._wire.post(_place(collection, "rollback"), {"reason": reason}))

    def reindex_retire(self, collection: str) -> list[str]:
        """As `Quiver.reindex_retire`."""
        return [str(each) for each in self._wire.post(_place(collection, "retire"))]

    def reindex_abort(self, collection: str, *, reason: str = "") -> Standing:
        """As `Quiver.reindex_abort`."""
        return _standing(self._wire.post(_place(collection, "abort"), {"reason": reason}))

    def reindex_pause(self, collection: str, *, reason: str = "") -> Standing:
        """As `Quiver.reindex_pause`."""
        return _standing(self._wire.post(_place(collection, "pause"), {"reason": reason}))

    def reindex_resume(self, collection: str, *, rate: float | None = None) -> Standing:
        """As `Quiver.reindex_resume`."""
        return _standing(self._wire.post(_place(collection, "resume"), {"rate": rate}))

    def reindex_run(self, collection: str, *, on_progress: Callable[[Progress], None] | None = None) -> Standing:
        """As `Quiver.reindex_run`: the server's workers build, and it is waited for."""
        if self._built(collection, on_progress):
            self.reindex_verify(collection)
        return self.reindex_status(collection)

    def _built(self, collection: str, on_progress: Callable[[Progress], None] | None) -> bool:
        """Wait until it is built, or paused. Raises Conflict when it is given up meanwhile."""
        while True:
            began = monotonic()
            now = self.reindex_status(collection)
            took = monotonic() - began
            if now.coming is None:
                raise Conflict(f"{collection!r} is not being reindexed: start it first")
            said = _progress(now, now.coming.index.state)
            if on_progress is not None:
                on_progress(said)
            if said.built or said.paused:
                return said.built
            sleep(max(LOOK, took / SHARE))  # it counts rows


def _place(collection: str, step: str = "") -> str:
    return place_of(collection, f"reindex/{step}" if step else "reindex")


def _wish(
    *,
    profile: str | None = None,
    spaces: Iterable[str] | None = None,
    fields: Mapping[str, str] | Iterable[str] | None = None,
    drop_fields: Iterable[str] = (),
    storage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "profile": profile,
        "spaces": None if spaces is None else list(spaces),
        "fields": {name: str(kind) for name, kind in parse_fields(fields or {}).items()},
        "drop_fields": list(drop_fields),
        "storage": dict(storage or {}),
    }


def _judged(queries: Queries | None, qrels: Qrels | None) -> list[dict[str, Any]]:
    read = read_judged(queries, qrels)
    if not read.queries:
        raise BadQuery("no query has a relevant asset: the ids of queries and of judgements must be the same")
    return [
        {"id": line.id, "query": body_of(question_for(line, {})), "grades": dict(read.qrels[line.id])}
        for line in read.queries
    ]


_NAMES = ("copied", "embedded", "dropped", "fields_added", "fields_dropped")  # of a plan


def _standing(said: dict[str, Any]) -> Standing:
    collection = said["collection"]
    coming, coverage = said["coming"], said["coverage"]
    return Standing(
        collection=collection,
        serving=_tended(collection, said["serving"]),
        coming=None if coming is None else _tended(collection, coming),
        kept=tuple(_tended(collection, one) for one in said["kept"]),
        coverage=None if coverage is None else Coverage(**coverage),
        lacks=said["lacks"],
        examples=tuple((name, why) for name, why in said["examples"]),
        rate=said["rate"],
        seconds_left=said["seconds_left"],
        checks=tuple(said["checks"]),
        verified_at=said["verified_at"] and datetime.fromisoformat(said["verified_at"]),
    )


def _tended(collection: str, said: dict[str, Any]) -> Tended:
    index = Index(
        id=said["id"],
        collection=collection,
        state=IndexState(said["state"]),
        spaces=tuple(map(EmbeddingSpace.from_dict, said["spaces"])),
        fields={name: FieldType(kind) for name, kind in said["fields"].items()},
        reads=frozenset(map(Reading, said["reads"])),
        profile=said["profile"],
        storage=Storage.from_dict(said["storage"]),
    )
    created, changed = (datetime.fromisoformat(said[name]) for name in ("created_at", "changed_at"))
    return Tended(index=index, plan=said["plan"], note=said["note"], created_at=created, changed_at=changed)


def _progress(now: Standing, state: IndexState) -> Progress:
    held = now.coverage
    return Progress(
        total=held.present if held else 0,
        done=held.held if held else 0,
        failed=held.failed if held else 0,
        rate=now.rate,
        seconds_left=now.seconds_left,
        state=state,
        paused=now.paused,
    )
