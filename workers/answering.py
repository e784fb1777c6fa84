"""A search as a service makes it: measured, traced, and now and then compared with an exact one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock, Thread
from time import monotonic, time_ns
from typing import Any

from core.errors import Fault
from core.ports import Catalogue
from core.runtime import metrics, traces
from core.runtime.wiring import Parts
from retrieval.request import Answer, SearchRequest
from retrieval.search import search_all
from workers.calibrating import must_know
from workers.curves import known
from workers.recording import recorded
from workers.serving import encoder_of, surely

log = logging.getLogger(__name__)


def asked(
    parts: Parts, requests: Sequence[SearchRequest], *, profile: str, catalogue: Catalogue | None = None
) -> list[Answer]:
    """As `retrieval.search.search_all`, with the encoders of that profile: neither counted nor recorded."""
    speaks = encoder_of(parts, requests[0].collection, profile)
    there = catalogue or parts.catalogue
    if catalogue is None and any(request.min_score is not None for request in requests):
        must_know(parts, requests[0].collection)
    curves = known(parts).curves_of
    return surely(lambda: search_all(requests, catalogue=there, store=parts.store, encoder_of=speaks, curves_of=curves))


def answer_all(
    parts: Parts,
    requests: Sequence[SearchRequest],
    *,
    profile: str,
    said: Sequence[Mapping[str, Any] | None] = (),
) -> list[Answer]:
    """As `retrieval.search.search_all`, faults included, with the encoders of that profile. `said`: what is recorded of
    each; None: nothing."""

    def ask(some: Sequence[SearchRequest]) -> list[Answer]:
        return asked(parts, some, profile=profile)

    with traces.span("search", collection=metrics.named(requests[0].collection)):
        began = time_ns()
        found = ask(requests)
        for stage in metrics.SEARCH_STAGES:
            ended = began + round(found[0].seconds[stage] * 1e9)
            traces.past(f"search.{stage}", began, ended)
            began = ended
    for each in found:
        metrics.searched(each.seconds)
    if parts.settings.recall_every_seconds and not requests[0].exact:
        sampler = parts.also(Sampler, lambda: Sampler(every=parts.settings.recall_every_seconds))
        sampler.offer(found[0], lambda: ask([replace(requests[0], exact=True)])[0])
    return recorded(parts, requests, found, said) if any(one is not None for one in said) else found


class Sampler:
    """Compares one search in so many seconds with an exact one, on a thread of its own, one at a time."""

    def __init__(self, *, every: float) -> None:
        self._every = every
        self._next = 0.0
        self._lock = Lock()
        self._thread: Thread | None = None

    def offer(self, found: Answer, exactly: Callable[[], Answer]) -> None:
        """A search was answered; `exactly` asks the same of an exact search. It is called if the time has come."""
        with self._lock:
            if monotonic() < self._next or (self._thread is not None and self._thread.is_alive()):
                return
            self._next = monotonic() + self._every
            self._thread = Thread(target=_compare, args=(found, exactly), name="recall", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the comparison that runs."""
        with self._lock:
            if self._thread is not None:
                self._thread.join()


def _compare(found: Answer, exactly: Callable[[], Answer]) -> None:
    try:
        wanted = {hit.asset for hit in exactly().hits}
    except Fault as fault:  # the next one may go better; who searched has an answer
        log.info("a search was not compared with an exact one: %s", fault)
        return
    if wanted:
        metrics.recalled(len(wanted & {hit.asset for hit in found.hits}) / len(wanted))
