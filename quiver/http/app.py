"""The application: routes, middleware, and what a process of it runs."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from threading import Event, Thread
from time import perf_counter
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.runtime import metrics, traces
from core.runtime.logs import bound, configure
from core.runtime.wiring import Parts, open_parts
from quiver.http import (
    admin,
    archive,
    assets,
    calibrating,
    collections,
    erasures,
    errors,
    explaining,
    feedback,
    health,
    jobs,
    recommend,
    reindexing,
    search,
)
from quiver.http.access import is_loopback, vouched
from quiver.http.bodies import Bodies
from quiver.http.warming import Warming
from workers.figures import expose
from workers.service import serve

log = logging.getLogger(__name__)
ASKED_FOR = re.compile(rb"[A-Za-z0-9._-]{1,64}")  # request ids that are taken over from a client
ROUTERS = (
    collections.router,
    assets.router,
    search.router,
    recommend.router,
    explaining.router,
    feedback.router,
    jobs.router,
    admin.router,
    erasures.router,
    calibrating.router,
    reindexing.router,
    archive.router,
    health.router,
)
AGAIN = 5.0  # seconds after which a worker that stopped begins anew
IDLE = 0.25  # seconds between looks of the worker in this process at what waits


def make_app(parts: Parts | None = None) -> FastAPI:
    """The application over these parts, or those that the environment asks for. Without a broker, a thread of it
    indexes what comes in."""
    mine = parts is None
    parts = parts or open_parts()
    if mine:
        traces.configure("quiver-api")
        if not logging.getLogger().handlers:  # one of several processes, which start with nothing but the environment
            configure(parts.settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            if mine:
                stack.callback(parts.close)
            expose(parts)
            if parts.settings.broker_url is None:
                app.state.woken = stack.enter_context(working(parts))
            stack.enter_context(app.state.warming.running())
            yield
            await run_in_threadpool(stack.close)

    app = FastAPI(
        title="Quiver",
        version=version("quiver"),
        description="Multimodal ingestion and vector search for Qdrant. Faults are problem+json.",
        lifespan=lifespan,
        responses={"default": {"description": "A fault", "content": {errors.MEDIA_TYPE: {"schema": errors.PROBLEM}}}},
    )
    app.state.parts = parts
    app.state.woken = None
    app.state.warming = Warming(parts)
    app.state.keyless = is_loopback(parts.settings.host)
    for router in ROUTERS:
        app.include_router(router)

    @app.get("/", include_in_schema=False)
    def root() -> dict[str, str]:
        """Where to go from here."""
        return {"name": "Quiver", "version": app.version, "docs": "/docs", "openapi": "/openapi.json", "api": "/v1"}

    errors.install(app)
    app.add_middleware(
        Bodies,
        max_bytes=max(parts.settings.max_bytes, parts.settings.max_media_bytes),
        max_bulk_bytes=parts.settings.max_bulk_bytes,
        vouched=vouched,
    )
    app.add_middleware(Watched)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app


@contextmanager
def working(parts: Parts) -> Iterator[Callable[[], None]]:
    """A worker on a thread of this process: it yields what wakes it, and ends the batch it is at when it is left."""
    stopping = Event()

    def work() -> None:
        while not stopping.is_set():
            try:
                serve(parts, stopping, every=IDLE)
            except Exception:  # whatever it was: without this thread all is accepted and nothing indexed
                log.exception("indexing stopped, and begins anew")
                stopping.wait(AGAIN)

    thread = Thread(target=work, name="indexing")
    thread.start()
    try:
        yield lambda: None  # it looks by itself, often enough
    finally:
        stopping.set()
        thread.join()


class Watched:
    """Middleware: a request id, the figures of the request, and faults that came from a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = asked.decode() if ASKED_FOR.fullmatch(asked) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        brought = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with bound(request_id=request_id), traces.continued(brought, scope["method"]):
            try:
                await self._app(scope, receive, told)
            finally:
                route = getattr(scope.get("route"), "path", "")
                took = perf_counter() - began
                metrics.requested(scope["method"], route, status, took)
                traces.tell(f"{scope['method']} {route}", status=status)
                who = scope["state"].get("key", "no key")
                log.info("%s %s: %d in %.0f ms, %s", scope["method"], route or "?", status, took * 1e3, who)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema, with the answers that FastAPI would promise and that are never given taken out."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in made["paths"].values():
            for operation in path.values():
                operation.get("responses", {}).pop("422", None)  # every fault is a problem: see `default`
        made.get("components", {}).get("schemas", {}).pop("HTTPValidationError", None)
        made.get("components", {}).get("schemas", {}).pop("ValidationError", None)
        app.openapi_schema = made
    return app.openapi_schema
