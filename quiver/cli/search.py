"""`quiver search`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadQuery, BlobsDown
from quiver.asking import json_of
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import answer_table, effects_table, out, print_json


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="Words to search by.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search by.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to search by.", show_default=False)] = None,
    video: Annotated[Path | None, typer.Option(help="A film to search by.", show_default=False)] = None,
    like: Annotated[str | None, typer.Option(help="An asset, by id or name, to find more like it.")] = None,
    vector: Annotated[
        str | None, typer.Option(help='A vector as JSON: {"space": "concept", "values": [0.1, 0.2]}.')
    ] = None,
    less: Annotated[list[str] | None, typer.Option(help="Words that are not wanted.", show_default=False)] = None,
    mix: Annotated[
        list[str] | None, typer.Option(help='A part of a mixture as JSON: {"text": "at night", "weight": 0.5}.')
    ] = None,
    collection: CollectionOption = "default",
    where: Annotated[
        str | None,
        typer.Option(
            "--where", "-w", help='For example: kind = photo and (price < 20 or tag in ["a"]); or Qdrant JSON.'
        ),
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option("--modality", "-m", help="text, image, audio, video: what to find.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many hits at most.")] = 10,
    offset: Annotated[int, typer.Option(help="How many hits to leave out at the beginning.")] = 0,
    min_score: Annotated[
        float | None, typer.Option(help="The least probability of relevance, from 0 to 1.", show_default=False)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every point.")] = False,
    fusion: Annotated[str | None, typer.Option(help="rrf, weighted or dbsf.", show_default=False)] = None,
    weight: Annotated[list[str] | None, typer.Option(help="A space's weight: concept=0.5.")] = None,
    rerank: Annotated[list[str] | None, typer.Option(help="A stage: NAME or NAME:key=value,key=value.")] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for the stages.", show_default=False)] = None,
    group_by: Annotated[str | None, typer.Option(help="A field: one hit of each of its values.")] = None,
    group_size: Annotated[int, typer.Option(help="Hits of each value, with --group-by.")] = 1,
    without: Annotated[list[str] | None, typer.Option(help="An asset that is not to be found.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell why each hit is where it is.")] = False,
    record: Annotated[
        bool | None, typer.Option(help="Record it, so that `quiver feedback` can judge its answer.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a contact sheet there.", show_default=False)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show a contact sheet in the browser.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Find assets by words, a picture, a sound, a film, their likeness to another, a vector, or a mixture of these."""
    if html is not None and (html.is_dir() or not html.resolve().parent.is_dir()):
        raise BadQuery(f"{html}: the contact sheet needs the name of a file in a folder that is there")
    with opened(data) as quiver:
        answer = quiver.search(
            collection,
            text,
            image=image,
            audio=audio,
            video=video,
            like=like,
            vector=json_of(vector, "--vector") if vector is not None else None,
            mix=[json_of(part, "--mix") for part in mix or ()],
            less=less or (),
            where=where,
            modality=modality or None,
            limit=limit,
            offset=offset,
            min_score=min_score,
            exact=exact,
            fusion=fusion,
            weights=_weights(weight or ()),
            rerank=rerank or (),
            budget=budget,
            group_by=group_by,
            group_size=group_size,
            without=without or (),
            explain=explain,
            record=record,
        )
        if json:
            print_json(answer)
        else:
            answer_table(answer)
            if explain:
                effects_table(answer)
        if html or open_:
            page = quiver.contact_sheet(
                collection, [(text or f"like {image or audio or video or like or 'this mixture'}", answer)]
            )
            place = html or Path(tempfile.mkdtemp(prefix="quiver-")) / "sheet.html"
            try:
                place.write_text(page, encoding="utf-8")
            except OSError as exc:
                raise BlobsDown(f"{place} cannot be written: {exc.strerror}") from exc
            if not json:
                out.print(f"contact sheet: {place}", highlight=False, markup=False)
            if open_:
                typer.launch(place.resolve().as_uri())


def _weights(said: Sequence[str]) -> dict[str, float]:
    """Raises BadQuery."""
    out = {}
    for one in said:
        space, _, weight = one.partition("=")
        try:
            out[space.strip()] = float(weight)
        except ValueError as exc:
            raise BadQuery(f"{one!r}: write a space's weight as SPACE=NUMBER") from exc
    return out
