"""`quiver store`."""

from __future__ import annotations

import json as jsons
import os
from pathlib import Path
from typing import Annotated

import typer

from core.runtime import logs
from core.runtime.wiring import open_parts
from quiver.cli.app import Data, app
from quiver.cli.render import out


@app.command()
def store(
    data: Data = None,
    json: Annotated[
        bool, typer.Option("--json", help="When it serves, print one line of JSON: socket and pid.")
    ] = False,
) -> None:
    """Serve the index of a data folder to every process of this user on this machine, until stopped."""

    def ready(socket: Path) -> None:
        said = {"socket": str(socket.resolve()), "pid": os.getpid()}
        line = jsons.dumps(said) if json else f"serving at {said['socket']} as process {said['pid']}; Ctrl-C stops it"
        out.out(line, highlight=False)

    parts = open_parts(data=data)
    logs.configure(parts.settings)
    parts.serve_store(ready)
