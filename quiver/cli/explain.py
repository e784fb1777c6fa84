"""`quiver explain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BlobsDown, NoSpaceFor
from core.types import Span
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import out, print_json, table
from retrieval.regions import GRID


@app.command()
def explain(
    asset: Annotated[str, typer.Argument(help="The asset, by id or name.", show_default=False)],
    text: Annotated[str | None, typer.Argument(help="Words that are asked by.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to ask by.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to ask by.", show_default=False)] = None,
    like: Annotated[str | None, typer.Option(help="An asset to ask by, by id or name.")] = None,
    space: Annotated[str | None, typer.Option(help="The space whose score is looked at.")] = None,
    grid: Annotated[int, typer.Option(help="Cells that a picture is divided into, each way.")] = GRID,
    picture: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a PNG there: what matters in red.", show_default=False)
    ] = None,
    collection: CollectionOption = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """Tell why a query finds an asset: its nearest segments, and of a picture the region."""
    with opened(data) as quiver:
        made = quiver.explain(collection, asset, text, image=image, audio=audio, like=like, space=space, grid=grid)
    if picture is not None:
        if made.picture is None:
            raise NoSpaceFor(f"{made.external_id!r} is {made.modality}, or is compared by no picture: leave --out out")
        try:
            picture.write_bytes(made.picture)
        except OSError as exc:
            raise BlobsDown(f"{picture} cannot be written: {exc.strerror}") from exc
    if json:
        print_json(replace(made, picture=None))  # --out writes it
        return
    rows = [
        [f"{m.space}/{m.content}", f"{m.score:.4f}", m.ordinal, _where(m.span), m.source or "", (m.text or "")[:60]]
        for m in made.matches
    ]
    table(["space", "score", "segment", "where", "read by", "text"], rows)
    if (region := made.region) is not None:
        line = f"{region.space}: {region.score:.4f} whole, {region.drop:.4f} less without "
        if region.box is None:
            line += "any part: the whole picture matches"
        else:
            line += "the region at " + " ".join(f"{share:.2f}" for share in region.box)
        out.print(line, highlight=False, markup=False)


def _where(span: Span | None) -> str:
    return "" if span is None else f"{span.start:g}-{span.end:g} {span.unit}"
