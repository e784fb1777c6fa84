"""Whether it lives, whether it is ready, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from core.desk import Role
from core.errors import EncoderBroke, Fault, SchemaOutdated
from core.runtime import metrics
from core.runtime.wiring import Parts
from quiver.http.access import having
from quiver.http.warming import Warming

router = APIRouter(tags=["health"])


class Ready(BaseModel):
    """What was looked at; `ok`, or what is wrong."""

    ready: bool
    checks: dict[str, str]


@router.get("/livez")
async def live() -> dict[str, bool]:
    """That this process answers. It looks at nothing else: a database that is down is no reason to restart it,
    nor are requests that take all the threads."""
    return {"live": True}


@router.get("/readyz", responses={503: {"model": Ready}})
def ready(request: Request, response: Response) -> Ready:
    """Whether requests can be served: migrations at head, store, broker, and the default model loaded; and those of the
    indexes that served when the process started. Of these one that cannot be loaded is told, and does not count."""
    parts: Parts = request.app.state.parts
    warming: Warming = request.app.state.warming
    checks = {
        "catalogue": _checked(lambda: _catalogue(parts)),
        "store": _checked(lambda: void(parts.store.indexes())),
        "model": _checked(lambda: parts.encoders.warm(parts.settings.profile)),
    }
    if parts.settings.broker_url is not None:
        checks["broker"] = _checked(lambda: _broker(parts))
    loading = warming.loading()
    well = all(said == "ok" for said in checks.values()) and not loading
    checks["models"] = warming.says()
    response.status_code = 200 if well else 503
    return Ready(ready=well, checks=checks)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    dependencies=[having(Role.OPERATOR)],
)
def figures() -> Response:
    """Prometheus' text. Of the whole installation: it needs the role operator."""
    body, kind = metrics.text()
    return Response(body, media_type=kind)


def _catalogue(parts: Parts) -> None:
    if not parts.catalogue.at_head():
        raise SchemaOutdated


def _broker(parts: Parts) -> None:
    from workers.tasks import reachable

    reachable(parts)


def _checked(look: Callable[[], None]) -> str:
    try:
        look()
    except EncoderBroke:
        return "EncoderBroke"  # its message is the model's own
    except Fault as fault:
        return fault.kind
    return "ok"


def void(_: object) -> None:
    """Drop an answer that nobody asked for."""
