"""What follows a message to its task: the trace that it is part of, and the ids that log lines carry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from threading import local
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from core.runtime import logs, traces

CARRIED = ("request_id", "job")  # ids of who sent it, beside its own
_here = local()  # a task begins and ends in one thread


@before_task_publish.connect  # type: ignore[untyped-decorator]  # celery has no types
def _send(headers: dict[str, Any], **_: object) -> None:
    headers.update({name: said for name, said in logs.ids().items() if name in CARRIED})
    traces.inject(headers)


@task_prerun.connect  # type: ignore[untyped-decorator]  # celery has no types
def _begin(task_id: str, task: Any, **_: object) -> None:
    headers: Mapping[str, Any] = task.request.headers or {}
    carried = {name: headers.get(name) for name in CARRIED}
    with ExitStack() as opened:
        opened.enter_context(logs.bound(task_id=task_id, **carried))
        opened.enter_context(traces.continued(headers, str(task.name), queue=_queue(task)))
        _here.opened = opened.pop_all()


@task_postrun.connect  # type: ignore[untyped-decorator]  # celery has no types
def _end(retval: object, **_: object) -> None:
    opened: ExitStack | None = _here.__dict__.pop("opened", None)
    if opened is None:
        return
    if isinstance(retval, BaseException):  # what the task raised: it belongs into the trace
        opened.__exit__(type(retval), retval, retval.__traceback__)
    else:
        opened.close()


def _queue(task: Any) -> str:
    return str((task.request.delivery_info or {}).get("routing_key", ""))
