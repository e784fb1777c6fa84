"""Celery tasks: messages hold ids, leave after commit, and may be lost, doubled or late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from uuid import UUID

from celery import shared_task
from kombu.exceptions import OperationalError

from core.errors import BrokerDown
from core.runtime.wiring import Parts, open_parts
from core.types import AssetId
from workers.app import make_app
from workers.indexing import index_batch
from workers.upkeep import sweep

INDEX, SWEEP = "quiver.index", "quiver.sweep"


_opening = threading.Lock()


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
    index_batch(parts(), collection, [AssetId(UUID(said)) for said in ids])


@shared_task(name=SWEEP)  # type: ignore[untyped-decorator]  # celery has no types
def sweep_now() -> int:
    """Index all that is outstanding, in this task: with the queue as a hint only, nothing is lost with it."""

    def here(collection: str, ids: Sequence[AssetId]) -> None:
        index_batch(parts(), collection, ids)

    return sweep(parts(), here)


def enqueue(parts: Parts) -> Callable[[str, Sequence[AssetId]], None]:
    """A function that tells the workers of assets to be indexed, after they were committed. Raises BrokerDown."""
    app = make_app(parts.settings)

    def tell(collection: str, ids: Sequence[AssetId]) -> None:
        try:
            app.send_task(INDEX, (collection, [str(asset_id) for asset_id in ids]), queue="bulk")
        except OperationalError as exc:
            raise BrokerDown(
                f"the broker does not answer ({exc}): what was registered is found by the next sweep"
            ) from exc

    return tell
