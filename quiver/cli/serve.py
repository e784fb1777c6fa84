"""`quiver serve`: the HTTP API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from core.errors import Misconfigured
from core.runtime.logs import configure
from core.runtime.settings import Settings, load_settings
from core.runtime.wiring import open_parts
from quiver.cli.app import Data, app

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name
GRACE = 30  # seconds for requests to end after SIGTERM


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen at; one that others reach needs an API key.", envvar="QUIVER_HOST"),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any that is free.", envvar="QUIVER_PORT")] = None,
    processes: Annotated[
        int,
        typer.Option(help="Processes; several need a broker, and a store process or a Qdrant server.", min=1, max=64),
    ] = 1,
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    data: Data = None,
) -> None:
    """Serve the HTTP API until stopped. Without a broker this process also indexes what comes in."""
    import uvicorn

    settings = load_settings(data=data, host=host, port=port)
    configure(settings, level=loglevel)
    ready_to_listen(settings, processes)
    for name in ("data", "host", "port"):  # the application reads the environment, in this process and in others
        os.environ[f"QUIVER_{name.upper()}"] = str(getattr(settings, name))
    with counted_together(processes):
        uvicorn.run(
            "quiver.http.app:make_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=processes,
            http="quiver.cli.listener:Listener",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=30,
            limit_concurrency=1000,
            h11_max_incomplete_event_size=65_536,
        )


@contextmanager
def counted_together(processes: int) -> Iterator[None]:
    """Metrics of several processes are added up in a folder that they share."""
    if processes == 1 or SHARED in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="quiver-metrics-") as folder:
        os.environ[SHARED] = folder
        yield


def ready_to_listen(settings: Settings, processes: int) -> None:
    """Migrated, and safe to be reached from where it will be. Raises Misconfigured, Unavailable."""
    from quiver.http.access import is_loopback
    from workers.fetching import policy_of

    parts = open_parts(data=settings.data)
    try:
        if not parts.catalogue.keys(None) and not is_loopback(settings.host):
            raise Misconfigured(
                f"{settings.host} is reached by others, and there is no API key yet: make one with `quiver keys create "
                "NAME --role admin`, or listen at 127.0.0.1"
            )
        _ = parts.meter  # opened now, so that a setting that cannot be meant is told before the first request
        policy_of(parts)
    finally:
        parts.close()
    if processes > 1 and settings.broker_url is None:
        raise Misconfigured("several processes need a broker: set QUIVER_BROKER_URL, or use `quiver up`")
    if processes > 1 and settings.qdrant_url is None and settings.store != "process":
        raise Misconfigured("several processes cannot each own the index: run `quiver store`, set QUIVER_STORE=process")
