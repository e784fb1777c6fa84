"""The Celery application: settings only. The work is in plain functions; `workers.tasks` calls them."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu.entity import Queue
from kombu.exceptions import ChannelError, OperationalError

from core.errors import BrokerDown, Misconfigured
from core.runtime import logs
from core.runtime.settings import Settings, load_settings
from workers import trail  # noqa: F401  # its signals follow every message and task

QUEUES = ("delete", "live", "bulk", "reindex", "sweep")  # the first of them that has a message is served
SCHEMES = ("redis://", "rediss://", "redis+socket://", "sentinel://")
LONGEST = 3600  # seconds: no task takes longer
VISIBLE = 2 * LONGEST  # seconds after which Redis hands an unacknowledged message to another worker


@lru_cache(maxsize=4)
def make_app(settings: Settings) -> Celery:
    """The application on the broker that is set: one a process, because every new one adds producers to the pool that
    all of them share, and they are never let go of. Raises Misconfigured when no broker is set."""
    if settings.broker_url is None:
        raise Misconfigured("workers need a broker: set QUIVER_BROKER_URL=redis://HOST:6379/0")
    url = settings.broker_url.get_secret_value()
    if not url.startswith(SCHEMES):
        raise Misconfigured("QUIVER_BROKER_URL cannot be read: write redis://HOST:6379/0 or redis+socket:///PATH")
    app = Celery("quiver", broker=url, include=["workers.tasks"])
    timeout = {"visibility_timeout": VISIBLE}
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is acknowledged after its work, and given to another when its worker is lost: bounded, because
        # attempts are counted in the catalogue before work starts.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_default_queue="live",
        task_queues=[
            Queue(name)  # type: ignore[no-untyped-call]  # kombu has no types
            for name in QUEUES
        ],
        task_create_missing_queues=False,
        broker_transport_options=timeout | {"queue_order_strategy": "priority"},
        result_backend_transport_options=timeout,
        **timeout,
        task_time_limit=LONGEST,
        worker_soft_shutdown_timeout=30,  # seconds for running tasks to end after SIGTERM
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a broker that restarts is waited for
        worker_cancel_long_running_tasks_on_connection_loss=False,  # claims, not messages, keep two workers apart
        worker_hijack_root_logger=False,
        beat_schedule={
            "sweep": {
                "task": "quiver.sweep",
                "schedule": settings.sweep_seconds,
                "options": {"queue": "sweep", "expires": settings.sweep_seconds},
            },
            "reconcile": {
                "task": "quiver.reconcile",
                "schedule": settings.reconcile_seconds,
                "options": {"queue": "sweep", "expires": settings.reconcile_seconds},
            },
        },
    )
    return app


def waiting(app: Celery, queue: str) -> int:
    """Messages in a queue. Raises OperationalError of kombu when the broker does not answer."""
    with app.connection_for_read() as connection:
        return _length(connection.default_channel, queue)


def lengths(app: Celery, *, patience: float) -> dict[str, int]:
    """Messages in each queue. Raises BrokerDown when the broker does not answer within so many seconds."""
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=patience)
            return {queue: _length(connection.default_channel, queue) for queue in QUEUES}
        except (OperationalError, OSError, *connection.connection_errors) as exc:
            raise BrokerDown(f"the broker does not answer: {exc}") from exc


def _length(channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # Redis knows no queue that is empty
        return 0


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery has no types
def _log(loglevel: int, **_: object) -> None:
    """Celery leaves logging to us."""
    if not logging.getLogger().handlers:  # it was started by its own command
        logs.configure(load_settings(), level=logging.getLevelName(loglevel))


def __getattr__(name: str) -> Celery:
    if name == "celery":  # `celery -A workers.app:celery` for those who run Celery by its own command
        return make_app(load_settings())
    raise AttributeError(name)
