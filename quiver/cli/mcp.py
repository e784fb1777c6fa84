"""`quiver mcp`."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from core.errors import Misconfigured
from quiver import Quiver
from quiver.cli.app import Data, app, opened


class Transport(StrEnum):
    """How the other side speaks."""

    STDIO = "stdio"
    HTTP = "http"


@app.command()
def mcp(
    write: Annotated[bool, typer.Option("--write", help="Offer tools that add and remove, too.")] = False,
    transport: Annotated[
        Transport, typer.Option(help="stdio: a client starts this command; http: on this machine, at /mcp.")
    ] = Transport.STDIO,
    port: Annotated[int, typer.Option(help="Port of http.", min=1, max=65535)] = 8081,
    url: Annotated[
        str | None, typer.Option(help="Address of a Quiver server to use instead of a folder.", show_default=False)
    ] = None,
    key_from: Annotated[
        str | None, typer.Option(help="Variable that holds the API key for it.", show_default=False)
    ] = None,
    data: Data = None,
) -> None:
    """Serve one tenant's assets to language models by the Model Context Protocol. Needs the extra mcp."""
    from quiver.plugins.mcp import serve

    with opened(data) if url is None else Quiver.connect(url, _key(key_from)) as quiver:
        serve(quiver, write=write, transport=transport.value, port=port)


def _key(variable: str | None) -> str | None:
    """A key is not written on the command line, where others on the machine can read it."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise Misconfigured(f"{variable} holds no API key: set it, or name another variable with --key-from")
    return os.environ[variable]
