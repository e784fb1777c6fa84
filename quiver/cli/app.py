"""`quiver`: parse, call one function, render. Faults become one line and an exit status."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from core.errors import Defect, Fault, Misconfigured, Refused, Unavailable
from quiver import Quiver, __version__
from quiver.cli.render import err, out, shown

app = typer.Typer(
    name="quiver",
    help="Multimodal ingestion and vector search for Qdrant.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    Path | None,
    typer.Option("--data", "-d", envvar="QUIVER_DATA", help="Folder of everything embedded.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", envvar="QUIVER_COLLECTION", help="Name of the collection.")
]
STATUS: dict[type, int] = {
    Refused: 2,
    Misconfigured: 3,
    Unavailable: 4,
    Defect: 5,
}  # exit statuses; 1: some items failed


@contextmanager
def opened(data: Path | None) -> Iterator[Quiver]:
    """The facade over the data folder, closed afterwards."""
    with Quiver.open(data) as quiver:
        yield quiver


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)


def main() -> None:
    """The console script."""
    from quiver.cli import (  # noqa: F401  # each adds its commands
        assets,
        backup,
        calibrate,
        collections,
        erase,
        evaluate,
        explain,
        export,
        failures,
        feedback,
        ingest,
        jobs,
        keys,
        mcp,
        models,
        recommend,
        reindex,
        search,
        serve,
        store,
        up,
        worker,
    )

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a character shows its number
    try:
        app()
    except Fault as fault:
        err.print(shown(f"{fault.kind}: {fault}"), style="red", soft_wrap=True)
        sys.exit(next(STATUS[kind] for kind in type(fault).__mro__ if kind in STATUS))
    except KeyboardInterrupt:
        err.print("stopped: what is done is kept; run the same again to go on", markup=False)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)  # the reader of our output has gone, as `head` does
    except OSError as exc:
        err.print(f"the output cannot be written: {exc.strerror or exc}", markup=False)
        sys.exit(4)
