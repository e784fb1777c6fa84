"""`quiver search`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import BadQuery, BlobsDown
from quiver.asking import json_of
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.queries import Asked, asked_of
from quiver.cli.render import answer_table, effects_table, first, out, print_json, print_line, shown
from retrieval.request import Answer


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
    queries: Annotated[
        Path | None,
        typer.Option(
            help='Queries, one a line: {"text": "…", "limit": 5}, and what else a query has; the options are of all '
            "that say nothing else. With --json a line of JSON for each.",
            show_default=False,
        ),
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
    thing: dict[str, Any] = {
        "text": text,
        "image": image,
        "audio": audio,
        "video": video,
        "like": like,
        "vector": json_of(vector, "--vector") if vector is not None else None,
        "mix": [json_of(part, "--mix") for part in mix or ()],
        "less": less or (),
    }
    settings: dict[str, Any] = {
        "where": where,
        "modality": modality or None,
        "limit": limit,
        "offset": offset,
        "min_score": min_score,
        "exact": exact,
        "fusion": fusion,
        "weights": weights_of(weight or ()),
        "rerank": rerank or (),
        "budget": budget,
        "group_by": group_by,
        "group_size": group_size,
        "without": without or (),
        "explain": explain,
        "record": record,
    }
    if queries is not None and any(thing.values()):
        raise BadQuery("with --queries what is asked is in the file: leave words, files and the like out")
    bad: list[Asked] = []
    with opened(data) as quiver:
        if queries is None:
            answer = quiver.search(collection, **thing, **settings)
            print_json(answer) if json else _show(answer, explain=explain)
            found = [(text or f"like {image or audio or video or like or 'this mixture'}", answer)]
        else:
            sheet = html is not None or open_
            found, bad = _show_all(asked_of(quiver, collection, queries, settings), explain, json=json, keep=sheet)
        if html or open_:
            _sheet(quiver.contact_sheet(collection, found), html, open_=open_, quiet=json)
    if bad:
        raise typer.Exit(1)


def _show(answer: Answer, *, explain: bool) -> None:
    answer_table(answer)
    if explain or any(hit.effects for hit in answer.hits):
        effects_table(answer)


def _show_all(
    lines: Iterable[Asked], explain: bool, *, json: bool, keep: bool
) -> tuple[list[tuple[str, Answer]], list[Asked]]:
    """Each line when it is answered. The answers that are to be kept, and the lines without one."""
    kept, bad = [], []
    for one in lines:
        title = f"line {one.line}" if one.id is None else f"line {one.line}: {one.id}"
        if one.answer is None:
            bad.append(one)
        elif keep:
            kept.append((title, one.answer))
        if json:
            print_line(one)
        elif one.answer is not None:
            out.print(shown(title), style="bold")
            _show(one.answer, explain=explain)
    if bad and not json:
        first(["line", "why", "what to do"], [[one.line, one.kind, one.message] for one in bad])
    return kept, bad


def _sheet(page: str, html: Path | None, *, open_: bool, quiet: bool) -> None:
    """Write a contact sheet. Raises BlobsDown."""
    place = html or Path(tempfile.mkdtemp(prefix="quiver-")) / "sheet.html"
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise BlobsDown(f"{place} cannot be written: {exc.strerror}") from exc
    if not quiet:
        out.print(f"contact sheet: {place}", highlight=False, markup=False)
    if open_:
        typer.launch(place.resolve().as_uri())


def weights_of(said: Sequence[str]) -> dict[str, float]:
    """SPACE=NUMBER, each. Raises BadQuery."""
    out = {}
    for one in said:
        space, _, weight = one.partition("=")
        try:
            out[space.strip()] = float(weight)
        except ValueError as exc:
            raise BadQuery(f"{one!r}: write a space's weight as SPACE=NUMBER") from exc
    return out
