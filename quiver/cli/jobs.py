"""`quiver jobs`: bulk jobs, handed over, listed and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import NoSuchJob
from core.records import State
from ingest.files import opened as opened_file
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import out, print_json, table
from quiver.reports import JobStatus

jobs = typer.Typer(help="Bulk jobs: send a manifest to the workers, see how far it is.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")


@jobs.command("send")
def send(
    manifest: Annotated[
        Path, typer.Argument(help='JSON Lines, CSV or Parquet with "text" or "url", and "id" and metadata.')
    ],
    collection: CollectionOption = "default",
    key: Annotated[
        str | None, typer.Option(help="With the same key it is the same job, sent twice.", show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Hand a manifest over: it is kept at once. Without workers it is taken in before this returns."""
    with opened(data) as quiver, opened_file(manifest) as source:
        made = quiver.bulk(collection, source, key=key)
    _show([made], json=json, one=True)
    if made.refused or made.job.error:
        raise typer.Exit(1)


@jobs.command("list")
def list_(
    collection: CollectionOption = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.", min=1)] = 20,
    data: Data = None,
    json: Json = False,
) -> None:
    """The bulk jobs of a collection, newest first. Finished ones are forgotten after some days."""
    with opened(data) as quiver:
        found = quiver.jobs(collection, limit=limit)
    _show(found, json=json)


@jobs.command("show")
def show(job: Annotated[str, typer.Argument(help="Its id.")], data: Data = None, json: Json = False) -> None:
    """How a job stands, and the first lines that were refused."""
    with opened(data) as quiver:
        try:
            found = quiver.job(job)
        except ValueError as exc:
            raise NoSuchJob(f"{job!r} is no id of a job: `quiver jobs list` shows them") from exc
    _show([found], json=json, one=True)
    if not json and found.refusals:
        table(["line", "asset", "why", "what to do"], [[r.line, r.name, r.kind, r.message] for r in found.refusals])


def _show(found: Sequence[JobStatus], *, json: bool, one: bool = False) -> None:
    if json:
        print_json(found[0] if one else found)
        return
    table(
        ["job", "since", "lines", *State, "refused", "state"],
        [
            [
                each.job.id,
                f"{each.job.created_at:%Y-%m-%d %H:%M:%S}",
                each.job.lines,
                *(each.counts[state] for state in State),
                each.refused,
                each.job.error or ("done" if each.done else "going on"),
            ]
            for each in found
        ],
    )
    if not found:
        out.print("there is no bulk job", style="dim")
