"""`quiver worker`, `clock`, `sweep` and `migrate`: what an operator runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from core.errors import BadQuery
from core.runtime import logs, metrics, traces
from core.runtime.settings import lane_count, load_settings
from core.runtime.wiring import open_parts
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.render import out, print_json
from workers.figures import expose


@app.command()
def worker(
    queues: Annotated[str | None, typer.Option("--queues", "-Q", help="Queues to serve; without it, all.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Threads; 0: one a core.")] = 0,
    embedded: Annotated[bool, typer.Option("--embedded", help="No broker: look into the catalogue instead.")] = False,
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    data: Data = None,
) -> None:
    """Run a worker until it is told to stop: it ends the batch it is at, and hands back what it only held.

    Threads share the weights and the index; it never forks.
    """
    if data is not None:
        os.environ["QUIVER_DATA"] = str(data)  # tasks read the environment
    settings = load_settings()
    logs.configure(settings, level=loglevel)
    traces.configure("quiver-worker")
    if settings.metrics_port:
        expose(open_parts())
        metrics.serve(settings.metrics_port)
    if embedded:
        from workers.service import serve

        stopping = Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: stopping.set())
        parts = open_parts()
        try:
            serve(parts, stopping)
        finally:
            parts.close()
        return
    from workers.app import QUEUES, make_app
    from workers.watchdog import watch

    chosen = list(QUEUES) if queues is None else queues.split(",")
    if unknown := set(chosen) - set(QUEUES):
        raise BadQuery(f"there is no queue {', '.join(sorted(unknown))}; there is: {', '.join(QUEUES)}")
    celery = make_app(settings)
    watch(celery, chosen, stall=settings.stall_seconds)
    quiet = ["--quiet"] if settings.log_format == "json" else []  # a banner is no line of JSON
    argv = [*quiet, "worker", "--pool", "threads", "--concurrency", str(concurrency or lane_count(settings))]
    celery.worker_main(
        [*argv, "--queues", ",".join(chosen), "--loglevel", loglevel, "--without-gossip", "--without-mingle"]
    )


@app.command()
def clock(
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info", data: Data = None
) -> None:
    """Tell the workers to sweep and to reconcile, at the times that are set. One a deployment."""
    from workers.app import make_app

    settings = load_settings(data=data)
    logs.configure(settings, level=loglevel)
    celery = make_app(settings)
    settings.data.mkdir(parents=True, exist_ok=True)
    schedule: Path = settings.data / "clock"
    celery.Beat(schedule=str(schedule), loglevel=loglevel, quiet=settings.log_format == "json").run()


@app.command()
def sweep(data: Data = None, json: Json = False) -> None:
    """Index, here and now, what a crash, an outage or a lost message left behind."""
    with opened(data) as quiver:
        done = quiver.sweep()
    if json:
        print_json(done)
    else:
        out.print(f"{done.indexed} indexed, {done.failed} failed", highlight=False)


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the catalogue's tables to the newest migration."""
    with opened(data) as quiver:
        quiver.migrate()
    out.print("the catalogue is at the newest migration")
