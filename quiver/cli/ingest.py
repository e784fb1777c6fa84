"""`quiver ingest`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from enum import StrEnum
from types import FrameType
from typing import Annotated, Any

import typer

from core.errors import BadQuery, Fault
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.bar import bar, lines
from quiver.cli.render import SHOWN, err, first, out, print_json, shown
from quiver.reports import IngestReport, Progress


class Show(StrEnum):
    """How an ingest shows where it stands."""

    AUTO = "auto"
    JSON = "json"
    NONE = "none"


@app.command()
def ingest(
    places: Annotated[
        list[str],
        typer.Argument(
            help="Files and folders; manifests (.jsonl, .csv, .parquet) and WebDataset tars; URLs of s3://, gs://, "
            "https:// and of qdrant://HOST:6333/COLLECTION.",
            show_default=False,
        ),
    ],
    collection: CollectionOption = "default",
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="name=keyword|integer|float|bool|datetime|geo|text"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Encoders of a new collection: see `quiver models`.", show_default=False)
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option("--read", help="Of a new collection: caption|ocr|transcript, which its things are found by too."),
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option("--glob", help="Only files of this pattern, as in .gitignore: *.jpg, raw/**/*.png."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="No files of this pattern: *.tmp, drafts/.")
    ] = None,
    sidecars: Annotated[
        bool,
        typer.Option(
            "--sidecars", help="photo.txt, photo.json, film.vtt and film.srt say what photo.jpg and film.mp4 are."
        ),
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="Of a Qdrant collection: text=FIELD, url=FIELD, path=FIELD, id=FIELD."),
    ] = None,
    source_key: Annotated[
        str | None,
        typer.Option(
            envvar="SOURCE_QDRANT_API_KEY", help="API key of the Qdrant server that is read.", show_default=False
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what a place gave once and has no more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what --prune would remove.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Prune though something could not be listed, or over half is gone.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on: take in what changes in these folders.")] = False,
    progress: Annotated[
        Show, typer.Option(help="A bar in a terminal (auto), a line of JSON a second on standard error, or none.")
    ] = Show.AUTO,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take in what is at these places. Running it twice changes nothing; one bad file costs one file."""
    said: dict[str, Any] = {
        "fields": field,
        "profile": profile,
        "reads": read,
        "glob": glob or (),
        "exclude": exclude or (),
        "sidecars": sidecars,
        "columns": _columns(column or []),
        "source_key": source_key,
        "prune": prune,
        "force": force,
    }
    show = print_json if json else lambda report: show_report(report, collection)
    with opened(data) as quiver:
        if watch:
            if dry_run:
                raise BadQuery("a dry run looks once: leave out --watch")
            with _stopped():
                quiver.watch(*places, collection=collection, on_report=_news(show), on_fault=_told, **said)
            return
        with _progress(progress, quiet=json) as tell:
            report = quiver.ingest(*places, collection=collection, dry_run=dry_run, on_progress=tell, **said)
    show(report)
    if not report.ok:
        raise typer.Exit(1)


def _columns(said: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (one.partition("=") for one in said)}


@contextmanager
def _progress(wanted: Show, *, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    if wanted is Show.JSON:
        with lines() as tell:
            yield tell
    elif wanted is Show.AUTO and not quiet and err.is_terminal:
        with bar() as tell:
            yield tell
    else:
        with nullcontext():
            yield None


@contextmanager
def _stopped() -> Iterator[None]:
    """Until Ctrl-C or SIGTERM, which end a watch in order: what is done is kept."""

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    err.print("watching: Ctrl-C ends it", style="dim")
    try:
        yield
    except KeyboardInterrupt:
        err.print("stopped: what is done is kept", markup=False)
    finally:
        signal.signal(signal.SIGTERM, before)


def _news(show: Callable[[IngestReport], None]) -> Callable[[IngestReport], None]:
    """Shows the first report, and then those that tell something new."""
    said: set[tuple[str, str]] | None = None

    def tell(report: IngestReport) -> None:
        nonlocal said
        wrong = {(p.kind, p.message) for p in report.refused} | {(f.kind, f.message) for f in report.failures}
        if said is None or report.added or report.changed or report.indexed or report.pruned or wrong - said:
            show(report)
        said = wrong

    return tell


def _told(fault: Fault) -> None:
    err.print(shown(f"{datetime.now().astimezone():%H:%M:%S} {fault.kind}: {fault}"), style="red", soft_wrap=True)


def show_report(report: IngestReport, collection: str) -> None:
    """What an ingest did, for people."""
    if report.dry_run:
        out.print(f"{collection}: {len(report.pruned)} would be removed", highlight=False, markup=False)
    else:
        changes = f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged"
        if not report.added + report.changed + report.indexed + len(report.pruned):
            well = report.unchanged - len(report.failures)
            changes = f"nothing changed: {well} assets are as they were"
            if report.failed and not well:
                changes = "nothing was taken in"
        if report.pruned:
            changes += f", {len(report.pruned)} removed"
        done = "handed to the workers" if report.enqueued else f"{report.indexed} indexed in {report.seconds:.1f} s"
        out.print(f"{collection}: {changes}; {done}", highlight=False, markup=False)
    for name in report.pruned[:SHOWN]:
        out.print(shown(f"{'would be removed' if report.dry_run else 'removed'}: {name}"), style="dim")
    if len(report.pruned) > SHOWN:
        out.print(f"and {len(report.pruned) - SHOWN} more: use --json", style="dim")
    problems = [(p.kind, p.message) for p in report.refused] + [
        (f.kind, f"{f.external_id}: {f.message}") for f in report.failures
    ]
    if problems:
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(report.failed.items()))
        out.print(f"failed: {counted}", style="red", highlight=False, markup=False)
        first(["why", "what to do"], problems)
