"""`quiver search`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadQuery, BlobsDown
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import answer_table, out, print_json


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="Words to search by.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search by.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to search by.", show_default=False)] = None,
    like: Annotated[str | None, typer.Option(help="An asset, by id or name, to find more like it.")] = None,
    collection: CollectionOption = "default",
    where: Annotated[
        str | None, typer.Option("--where", "-w", help='For example: kind = photo and (price < 20 or tag in ["a"]).')
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option("--modality", "-m", help="text, image, audio, video: what to find.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many hits at most.")] = 10,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every point.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a contact sheet there.", show_default=False)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show a contact sheet in the browser.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Find assets by words, by a picture, by a sound, or by their likeness to another."""
    if html is not None and (html.is_dir() or not html.resolve().parent.is_dir()):
        raise BadQuery(f"{html}: the contact sheet needs the name of a file in a folder that is there")
    with opened(data) as quiver:
        answer = quiver.search(
            collection,
            text,
            image=image,
            audio=audio,
            like=like,
            where=where,
            modality=modality or None,
            limit=limit,
            exact=exact,
        )
        if json:
            print_json(answer)
        else:
            answer_table(answer)
        if html or open_:
            page = quiver.contact_sheet(collection, [(text or f"like {image or audio or like}", answer)])
            place = html or Path(tempfile.mkdtemp(prefix="quiver-")) / "sheet.html"
            try:
                place.write_text(page, encoding="utf-8")
            except OSError as exc:
                raise BlobsDown(f"{place} cannot be written: {exc.strerror}") from exc
            if not json:
                out.print(f"contact sheet: {place}", highlight=False, markup=False)
            if open_:
                typer.launch(place.resolve().as_uri())
