"""`quiver export` and `quiver import`: collections as tables with their vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadQuery
from core.records import Outcome
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.gauge import gauge
from quiver.cli.render import first, out, print_json


@app.command()
def export(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    target: Annotated[Path, typer.Argument(help="Parquet file to write; what is there stays until all is written.")],
    where: Annotated[
        str | None, typer.Option(help="Only what matches this filter, as of a search.", show_default=False)
    ] = None,
    blobs: Annotated[
        Path | None,
        typer.Option(help="Folder, or file ending with .tar, for the original bytes.", show_default=False),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Write a collection with its vectors into a Parquet file, one row a segment."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        done = quiver.export(
            collection,
            target,
            where=where,
            blobs=blobs,
            on_progress=lambda now: tell("exporting", now.points, max(now.total, now.points)),
        )
    if json:
        print_json(done)
        return
    said = f"{target}: {done.points:,} points of {done.assets:,} assets"
    if blobs is not None:
        said += f", {done.blobs:,} files in {blobs}"
    out.print(said, highlight=False, markup=False, soft_wrap=True)
    if done.changing:
        out.print(f"{done.changing:,} assets were just being changed and are not in it", style="yellow")
    if done.missing:
        out.print(f"{done.missing:,} files are not there: their assets were imported without bytes", style="yellow")


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="What `quiver export` wrote; qdrant://HOST:6333/COLLECTION, or http://HOST:6333#COLLECTION."
        ),
    ],
    collection: CollectionOption = "default",
    blobs: Annotated[
        Path | None, typer.Option(help="Folder or tar of the bytes, as exported.", show_default=False)
    ] = None,
    vector: Annotated[
        list[str] | None,
        typer.Option("--vector", help="Of a Qdrant collection: NAME=SPACE, whose model you declare to have made it."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="Of a Qdrant collection: text=FIELD, id=FIELD."),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(help="Of what a Qdrant collection's points are: text|image|audio.", show_default=False),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Encoders, when a Qdrant collection is taken into a new one.", show_default=False)
    ] = None,
    source_key: Annotated[
        str | None,
        typer.Option(
            envvar="SOURCE_QDRANT_API_KEY", help="API key of the Qdrant server that is read.", show_default=False
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take in an export, or another Qdrant collection, with the vectors that are there. Twice is once."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        done = quiver.import_(
            source,
            collection,
            blobs=blobs,
            vectors=_pairs(vector or []),
            columns=_pairs(column or []),
            modality=modality,
            profile=profile,
            source_key=source_key,
            on_progress=lambda now: tell("importing", now.rows, now.total),
        )
    if json:
        print_json(done)
    else:
        counts = ", ".join(f"{done.outcomes[outcome]:,} {outcome}" for outcome in Outcome)
        out.print(f"{collection}: {counts}; {done.points:,} points written", highlight=False, markup=False)
        if done.without_bytes:
            out.print(
                f"{done.without_bytes:,} have no bytes here: they are found, but cannot be shown, nor embedded anew",
                style="yellow",
                highlight=False,
            )
        if done.lacking:
            out.print(f"no vectors came for {', '.join(done.lacking)}", style="yellow", highlight=False, markup=False)
        if done.refused:
            out.print(f"refused: {len(done.refused):,}", style="red", highlight=False)
            first(["why", "what to do"], [[p.kind, p.message] for p in done.refused])
    if not done.ok:
        raise typer.Exit(1)


def _pairs(said: list[str]) -> dict[str, str]:
    for one in said:
        if "=" not in one:
            raise BadQuery(f"{one!r}: write NAME=VALUE; a vector that has no name as =SPACE")
    return {name: value for name, _, value in (one.rpartition("=") for one in said)}
