"""`quiver worker`, `sweep` and `migrate`: what an operator runs."""

from __future__ import annotations

from typing import Annotated

import typer

from core.runtime.settings import lane_count, load_settings
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.render import out, print_json


@app.command()
def worker(
    queues: Annotated[str, typer.Option("--queues", "-Q", help="Queues to serve.")] = "delete,live,bulk,reindex",
    concurrency: Annotated[int, typer.Option("--concurrency", help="Threads; 0: one a core.")] = 0,
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a Celery worker on the broker that is set. Threads share the weights and the index; it never forks."""
    from workers.app import make_app

    settings = load_settings()
    argv = ["worker", "--pool", "threads", "--concurrency", str(concurrency or lane_count(settings))]
    make_app(settings).worker_main([*argv, "--queues", queues, "--loglevel", loglevel])


@app.command()
def sweep(data: Data = None, json: Json = False) -> None:
    """Index what a crash, an outage or a lost message left behind."""
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
