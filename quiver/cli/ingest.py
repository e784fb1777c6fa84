"""`quiver ingest`."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import err, out, print_json, table
from quiver.reports import IngestReport
from quiver.reports import Progress as Standing

SHOWN = 20  # problems listed in a terminal; --json has them all


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders and JSONL manifests.", show_default=False)],
    collection: CollectionOption = "default",
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="name=keyword|integer|float|bool|datetime|geo|text"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Encoders of a new collection: packaged, clip:FOLDER.", show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take in files, folders and manifests. Running it twice changes nothing; one bad file costs one file."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s"),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=err,
        disable=json or not err.is_terminal,
    )
    with bar, opened(data) as quiver:
        task = bar.add_task("registering", total=None, rate=0.0, failed=0)
        began = monotonic()

        def tell(now: Standing) -> None:
            whole = now.registered >= now.total
            done = now.indexed + now.failed
            bar.update(
                task,
                description="indexing" if now.indexed else "registering",
                total=now.to_index + now.failed if whole else now.total,
                completed=done if whole else max(done, 0),
                rate=now.indexed / (monotonic() - began),
                failed=now.failed,
            )

        report = quiver.ingest(*paths, collection=collection, fields=field, profile=profile, on_progress=tell)
    if json:
        print_json(report)
    else:
        show_report(report, collection)
    if not report.ok:
        raise typer.Exit(1)


def show_report(report: IngestReport, collection: str) -> None:
    """What an ingest did, for people."""
    changes = f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged"
    if not report.added + report.changed + report.indexed:
        changes = f"nothing changed: {report.unchanged} assets are as they were"
    done = "handed to the workers" if report.enqueued else f"{report.indexed} indexed in {report.seconds:.1f} s"
    out.print(f"{collection}: {changes}; {done}", highlight=False, markup=False)
    problems = [(p.kind, p.message) for p in report.refused] + [
        (f.kind, f"{f.external_id}: {f.message}") for f in report.failures
    ]
    if problems:
        table(["why", "what to do"], problems[:SHOWN])
        if len(problems) > SHOWN:
            out.print(f"and {len(problems) - SHOWN} more: use --json", style="dim")
