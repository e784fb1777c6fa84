"""Celery tasks: messages hold ids, leave after commit, and may be lost, doubled or late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from threading import Event, Lock
from uuid import UUID

from celery import Celery, shared_task
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError

from core.errors import BrokerDown
from core.runtime.wiring import Parts, open_parts
from core.types import AssetId
from workers.app import make_app, waiting
from workers.calibrating import tend
from workers.indexing import index_batch
from workers.jobs import SLICE, prune, run_jobs
from workers.patience import patiently, void
from workers.rebuilding import being_built, build_a_while
from workers.reconcile import reconcile
from workers.removal import clear
from workers.stalls import MODEL, Stalls
from workers.upkeep import sweep

log = logging.getLogger(__name__)
INDEX, CLEAR, SWEEP, RECONCILE = "quiver.index", "quiver.clear", "quiver.sweep", "quiver.reconcile"
JOB, REINDEX = "quiver.job", "quiver.reindex"
RECENT = timedelta(hours=1)  # a small message takes neighbours this young along, so that batches are full
QUIET = timedelta(seconds=30)  # a sweep leaves younger assets to their own message
_stopping = Event()
_opening = Lock()
_stalls = Stalls()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def _stop(**_: object) -> None:
    _stopping.set()  # who waits for something that is down hands back; who works ends its batch


def parts() -> Parts:
    """The parts of this worker process, opened on the first task: after any fork."""
    with _opening:  # two first tasks at once would open two, and the second would find the index locked
        return _parts()


@cache
def _parts() -> Parts:
    return open_parts()


@shared_task(name=INDEX)  # type: ignore[untyped-decorator]  # celery has no types
def index(collection: str, ids: list[str]) -> None:
    """Index these assets. What cannot be done now is found by the next sweep: nothing is retried by message."""
    if collection in _stalls.now():
        return
    here = parts()
    wanted = [AssetId(UUID(said)) for said in ids]

    def work() -> None:
        most = max(here.settings.batch, len(wanted))
        others = here.catalogue.missing(collection, limit=most, within=RECENT) if len(wanted) < most else []
        index_batch(here, collection, list(dict.fromkeys([*wanted, *others]))[:most])

    try:
        patiently(here, work, stopping=_stopping)
    except MODEL as fault:
        _stalls.note(collection, fault)


@shared_task(name=CLEAR)  # type: ignore[untyped-decorator]  # celery has no types
def clear_removed() -> None:
    """Forget and purge what was removed."""
    patiently(parts(), lambda: void(clear(parts())), stopping=_stopping)


@shared_task(name=SWEEP)  # type: ignore[untyped-decorator]  # celery has no types
def sweep_now() -> None:
    """Offer all that is outstanding to the workers, unless what was offered before still waits."""
    here = parts()
    app = make_app(here.settings)
    offer = _submit(app, "sweep")
    most = 10_000 if not waiting(app, "sweep") else 0
    patiently(
        here, lambda: void(sweep(here, offer, limit=most, quiet=QUIET, without=_stalls.now())), stopping=_stopping
    )
    if here.catalogue.jobs_wait() and not waiting(app, "bulk"):
        enqueue_job(here)
    if not waiting(app, "reindex"):
        for collection in being_built(here):
            enqueue_reindex(here, collection)
    tend(here)


@shared_task(name=JOB)  # type: ignore[untyped-decorator]  # celery has no types
def take_in_jobs() -> None:
    """Take in bulk jobs for a while. What then is left is another message, behind those of what was registered."""
    here = parts()
    submit = _submit(make_app(here.settings), "bulk")
    patiently(here, lambda: void(run_jobs(here, submit, _stopping, seconds=SLICE)), stopping=_stopping)
    if here.catalogue.jobs_wait():
        enqueue_job(here)


@shared_task(name=REINDEX)  # type: ignore[untyped-decorator]  # celery has no types
def reindex_a_while(collection: str) -> None:
    """Build the coming index of a collection for a while, as long as no other work waits. What then is left is another
    message, unless one waits already: so there are never more of them than workers."""
    here = parts()
    app = make_app(here.settings)

    def busy() -> bool:
        return any(waiting(app, queue) for queue in ("delete", "live", "bulk"))

    more = True

    def work() -> None:
        nonlocal more
        more = build_a_while(here, collection, stopping=_stopping, lanes=1, yields=busy)

    patiently(here, work, stopping=_stopping)
    if more and not waiting(app, "reindex"):
        enqueue_reindex(here, collection)


@shared_task(name=RECONCILE)  # type: ignore[untyped-decorator]  # celery has no types
def reconcile_now() -> None:
    """Compare every collection with its indexes; the drift is a metric, and repaired if the settings say so."""
    here = parts()
    patiently(here, lambda: void(prune(here)), stopping=_stopping)
    for collection in here.catalogue.collections():
        drift = reconcile(here, collection.name, repair=here.settings.reconcile_repairs)
        if drift.counts:
            log.warning("%s: drift %s, %d repaired", collection.name, dict(drift.counts), drift.repaired)


def enqueue(parts: Parts) -> Callable[[str, Sequence[AssetId]], None]:
    """A function that tells the workers of assets to be indexed, after they were committed. Raises BrokerDown."""
    app = make_app(parts.settings)
    bulk, live = _submit(app, "bulk"), _submit(app, "live")

    def tell(collection: str, ids: Sequence[AssetId]) -> None:
        (bulk if len(ids) >= parts.settings.batch else live)(collection, ids)

    return tell


def _submit(app: Celery, queue: str) -> Callable[[str, Sequence[AssetId]], None]:
    def tell(collection: str, ids: Sequence[AssetId]) -> None:
        try:
            app.send_task(INDEX, (collection, [str(asset_id) for asset_id in ids]), queue=queue)
        except OperationalError as exc:
            raise BrokerDown(f"the broker does not answer ({exc}): the next sweep finds what was registered") from exc

    return tell


def enqueue_job(parts: Parts) -> None:
    """Tell the workers that a bulk job waits. Raises BrokerDown."""
    try:
        make_app(parts.settings).send_task(JOB, queue="bulk")
    except OperationalError as exc:
        raise BrokerDown(f"the broker does not answer ({exc}): the next sweep finds the job") from exc


def enqueue_reindex(parts: Parts, collection: str) -> None:
    """Have the workers build the coming index of a collection. Raises BrokerDown."""
    try:
        make_app(parts.settings).send_task(REINDEX, (collection,), queue="reindex")
    except OperationalError as exc:
        raise BrokerDown(f"the broker does not answer ({exc}): the next sweep finds what is to be built") from exc


def enqueue_sweep(parts: Parts) -> None:
    """Have a worker look for what was left behind. Raises BrokerDown."""
    try:
        make_app(parts.settings).send_task(SWEEP, queue="sweep")
    except OperationalError as exc:
        raise BrokerDown(f"the broker does not answer ({exc}): the clock's next sweep does the same") from exc


def reachable(parts: Parts) -> None:
    """Raises BrokerDown when the broker does not answer."""
    try:
        waiting(make_app(parts.settings), "live")
    except OperationalError as exc:
        raise BrokerDown from exc
