"""`quiver create`, `ls` and `get`: collections by themselves, and the assets in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BlobsDown
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import out, print_json, table


@app.command()
def create(
    collection: Annotated[str, typer.Argument(help="Its name: small letters, digits, - and _.")],
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="name=keyword|integer|float|bool|datetime|geo|text"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Encoders, as `quiver models list` says.", show_default=False)
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option("--read", help="caption|ocr|transcript: text inside its things that they are found by too."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a collection with nothing in it; twice alike is once. It is there for all tenants."""
    with opened(data) as quiver:
        made = quiver.create(collection, fields=field, profile=profile, reads=read)
    if json:
        print_json(made)
    else:
        fields = " ".join(f"{name}={kind}" for name, kind in made.fields.items()) or "none"
        reads = f", reads {', '.join(sorted(made.reads))}" if made.reads else ""
        out.print(f"{made.name}: profile {made.profile}, fields {fields}{reads}", highlight=False, markup=False)


@app.command("ls")
def ls(
    collection: CollectionOption = "default",
    after: Annotated[str | None, typer.Option(help="The name of the last one seen.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.", min=1, max=100_000)] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """List the assets of a collection by name, with their states."""
    with opened(data) as quiver:
        found = quiver.assets(collection, after=after, limit=limit)
    if json:
        print_json(found)
        return
    table(
        ["asset", "state", "kind", "bytes", "since"],
        [
            [a.external_id, one.state, a.media_type, f"{a.size:,}", f"{a.created_at:%Y-%m-%d %H:%M:%S}"]
            for one in found
            for a in [one.asset]
        ],
    )
    if len(found) == limit:
        out.print(f"for more: --after {found[-1].asset.external_id!r}", style="dim", highlight=False, markup=False)


@app.command()
def get(
    asset: Annotated[str, typer.Argument(help="Id or name.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; without it, the output.", show_default=False)
    ] = None,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="A small JPEG of a picture instead.")] = False,
    collection: CollectionOption = "default",
    data: Data = None,
) -> None:
    """Fetch the original bytes of an asset, as they were given."""
    with opened(data) as quiver:
        found = quiver.thumbnail(collection, asset) if thumbnail else quiver.content(collection, asset)
    if output is None:
        sys.stdout.buffer.write(found)
        return
    try:
        output.write_bytes(found)
    except OSError as exc:
        raise BlobsDown(f"{output} cannot be written: {exc.strerror}") from exc
