"""The Celery application: settings only. The work is in plain functions; `workers.tasks` calls them."""

from __future__ import annotations

from celery import Celery
from kombu.entity import Queue

from core.errors import Misconfigured
from core.runtime.settings import Settings, load_settings

LONGEST = 3600  # seconds: longer than any task, or the broker hands a running one to a second worker


def make_app(settings: Settings) -> Celery:
    """An application on the broker that is set. Raises Misconfigured when none is."""
    if settings.broker_url is None:
        raise Misconfigured("workers need a broker: set QUIVER_BROKER_URL=redis://HOST:6379/0")
    app = Celery("quiver", broker=settings.broker_url.get_secret_value(), include=["workers.tasks"])
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,  # bounded: attempts are counted in the catalogue before work starts
        worker_prefetch_multiplier=1,
        task_default_queue="live",
        task_queues=[
            Queue(name)  # type: ignore[no-untyped-call]  # kombu has no types
            for name in ("delete", "live", "bulk", "reindex")
        ],
        task_create_missing_queues=False,
        broker_transport_options={"visibility_timeout": 2 * LONGEST},
        visibility_timeout=2 * LONGEST,
        task_time_limit=LONGEST,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )
    return app


def current() -> Celery:
    """The application of this process's settings: what `celery -A workers.app:celery` and the tasks use."""
    return make_app(load_settings())


def __getattr__(name: str) -> Celery:
    if name == "celery":
        return current()
    raise AttributeError(name)
