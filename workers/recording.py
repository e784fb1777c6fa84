"""Searches that are recorded, behind the answer: who searches does not wait for the catalogue."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Condition, Thread
from time import sleep
from typing import Any
from uuid import UUID, uuid4

from core.desk import Recorded, Verdict
from core.errors import BadQuery, Fault, NoSuchQuery, Unavailable
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from retrieval.request import Answer, SearchRequest

log = logging.getLogger(__name__)
MOST = 10_000  # searches that wait to be written; what comes on top is not recorded, and has no id
BATCH = 500
RETRY = 1.0  # seconds between tries while the catalogue is down
MOMENT = 0.25  # seconds in which another process has written what it just answered
MOST_GRADE = 100
SETTLED = 10.0  # seconds that a verdict waits for what was searched before it


class Recorder:
    """Writes searches on a thread of its own, as many at once as wait."""

    def __init__(self, keep: Callable[[Sequence[Recorded]], None], *, most: int = MOST) -> None:
        self._keep = keep
        self._most = most
        self._waiting: deque[Recorded] = deque()
        self._busy = 0  # being written
        self._closing = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def offer(self, one: Recorded) -> bool:
        """Have it written soon. False: too many wait, and it will not be."""
        with self._changed:
            if self._closing or len(self._waiting) >= self._most:
                return False
            self._waiting.append(one)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="recording", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def settle(self, timeout: float) -> bool:
        """Wait until nothing waits. False when it took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), timeout)

    def close(self) -> None:
        """Write what waits. Harmless twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while some := self._next():
            kept = self._kept(some)
            with self._changed:
                self._busy = 0
                if not kept:
                    if self._closing:
                        log.warning("%d searches were not recorded", len(some) + len(self._waiting))
                        self._waiting.clear()
                    else:
                        self._waiting.extendleft(reversed(some))
                self._changed.notify_all()
                if not kept:
                    self._changed.wait_for(lambda: self._closing, RETRY)

    def _next(self) -> list[Recorded]:
        """What to write next; nothing when it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            some = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._busy = len(some)
            return some

    def _kept(self, some: Sequence[Recorded]) -> bool:
        """Whether they are done with: written, or such as never will be."""
        try:
            self._keep(some)
        except Unavailable as fault:
            log.warning("searches cannot be recorded yet: %s", fault)
            return False
        except Fault as fault:
            if len(some) > 1:
                return all(self._kept([one]) for one in some)
            log.error("a search was not recorded: %s", fault)  # noqa: TRY400  # who searched has an answer
        return True


def recorded(
    parts: Parts,
    requests: Sequence[SearchRequest],
    answers: Sequence[Answer],
    said: Sequence[Mapping[str, Any] | None],
) -> list[Answer]:
    """The answers, those with an id whose search is being recorded. `said`: what is kept of each; None: nothing."""
    recorder, at = _recorder(parts), datetime.now(UTC)
    out = []
    for request, answer, what in zip(requests, answers, said, strict=True):
        if what is not None:
            one = Recorded(id=uuid4(), tenant=request.tenant, collection=request.collection, said=what, at=at)
            if recorder.offer(one):
                out.append(replace(answer, query=one.id))
                continue
            log.warning("a search was not recorded: %d wait already", MOST)
        out.append(answer)
    return out


def judge(parts: Parts, tenant: Tenant, collection: str, query: UUID, asset: AssetId, grade: int) -> None:
    """Keep a verdict on an asset as an answer to a recorded search; the last one stands.

    Raises BadQuery for a grade that is none, NoSuchQuery, NoSuchAsset.
    """
    if type(grade) is not int or not 0 <= grade <= MOST_GRADE:
        raise BadQuery(f"grade {grade!r}: give 0, which is wrong, to {MOST_GRADE}; 1 is right")
    _recorder(parts).settle(SETTLED)
    try:
        parts.catalogue.judge(tenant, collection, query, asset, grade)
    except NoSuchQuery:  # it may be on its way in another process
        sleep(MOMENT)
        parts.catalogue.judge(tenant, collection, query, asset, grade)


def judged(
    parts: Parts, tenant: Tenant, collection: str, after: UUID | None, limit: int
) -> list[tuple[Recorded, list[Verdict]]]:
    """A page of searches that have verdicts, by id."""
    return parts.catalogue.judged(tenant, collection, after=after, limit=limit)


def forget_old(parts: Parts) -> int:
    """Delete recorded searches that are older than the settings allow, with their verdicts; how many."""
    age = timedelta(days=parts.settings.query_retention_days)
    return parts.catalogue.forget_queries(before=datetime.now(UTC) - age)


def _recorder(parts: Parts) -> Recorder:
    return parts.also(Recorder, lambda: Recorder(lambda some: parts.catalogue.record(some)))
