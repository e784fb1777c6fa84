"""`quiver up`: one machine, everything it takes, as one supervised group."""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from threading import Event
from typing import Annotated

import typer

from core.runtime import logs
from core.runtime.settings import load_settings
from core.runtime.wiring import open_parts
from quiver.cli.app import Data, app
from quiver.cli.render import out
from workers.broker import broker
from workers.supervise import Service, alone, supervise

ME = (sys.executable, "-c", "from quiver.cli.app import main; main()")


@app.command()
def up(
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    concurrency: Annotated[int, typer.Option(help="Threads of each; 0: one a core.", min=0)] = 0,
    api: Annotated[int, typer.Option(help="Processes of the HTTP API; 0: none.", min=0, max=64)] = 1,
    data: Data = None,
) -> None:
    """Run the store, a broker, workers, the clock and the HTTP API until stopped; what dies is started again.

    With QDRANT_URL or a broker set, those are used instead of ours.
    """
    settings = load_settings(data=data)
    logs.configure(settings)
    parts = open_parts(data=data)
    parts.catalogue.collections()  # migrated before anybody else looks
    parts.close()
    folder = settings.data.resolve()
    env = {"QUIVER_DATA": str(folder)}
    services: list[Service] = []
    if settings.qdrant_url is None:
        env["QUIVER_STORE"] = "process"
        services.append(Service(name="store", argv=[*ME, "store"], env=env, ready=parts.store_answers))
    if settings.broker_url is None:
        ours = broker(folder / "broker")
        services.append(ours)
        env.update(ours.env)
    work = [*ME, "worker", "--concurrency", str(concurrency)]
    for number in range(workers):
        port = settings.metrics_port and settings.metrics_port + number  # one address each
        its = {**env, "QUIVER_METRICS_PORT": str(port)}
        services.append(Service(name=f"worker {number + 1}", argv=work, env=its))
    services.append(Service(name="clock", argv=[*ME, "clock"], env=env))
    if api:
        said = [*ME, "serve", "--processes", str(api), "--host", settings.host, "--port", str(settings.port)]
        its = {**env, "QUIVER_METRICS_PORT": "0"}  # it tells its figures itself
        answers = partial(answering, settings.host, settings.port)
        services.append(Service(name="api", argv=said, env=its, ready=answers))
    stopping = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopping.set())

    def ready() -> None:
        out.print(f"{len(services)} processes run; in another terminal:", highlight=False)
        if api:
            out.print(f"  http://{settings.host}:{settings.port}/docs", highlight=False, markup=False, soft_wrap=True)
        for name, value in env.items():
            out.print(f"  export {name}={value}", highlight=False, markup=False, soft_wrap=True)

    with alone(folder / "up.lock"):
        supervise(services, stopping, on_ready=ready)


def answering(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
