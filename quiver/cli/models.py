"""`quiver models`: which there are, fetching and checking them; `embed` and `rerank`: encoders by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest.files import opened as opened_file
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.render import out, print_json, shown, table
from quiver.reports import ModelView

models = typer.Typer(help="Models: list, pull, check.", no_args_is_help=True)
app.add_typer(models, name="models")

Profile = Annotated[str, typer.Argument(help="siglip2, hf:ORG/NAME@REVISION, hf:FOLDER, several joined by +.")]
Model = Annotated[str | None, typer.Option(help="PROFILE or PROFILE#SPACE.", show_default=False)]
Images = Annotated[list[Path] | None, typer.Option("--image", help="A picture, after the texts.", show_default=False)]


def _contents(texts: list[str] | None, images: list[Path] | None) -> list[str | bytes]:
    contents: list[str | bytes] = list(texts or [])
    for path in images or []:
        with opened_file(path) as source:
            contents.append(source.read())
    return contents


@models.command("list")
def listing(data: Data = None, json: Json = False) -> None:
    """Profiles that have names. Any model of the same families is one, too: hf:ORG/NAME@REVISION."""
    with opened(data) as quiver:
        found = quiver.models()
    if json:
        print_json(found)
        return
    rows = [
        [each.name, ", ".join(sorted(each.embeds)), _where(each), each.model or "installed", each.about]
        for each in found
    ]
    table(["profile", "embeds", "here", "model", "about"], rows)


@models.command("pull")
def pull(profile: Profile, data: Data = None, json: Json = False) -> None:
    """Download a profile's models, and check their files against the hub's checksums."""
    with opened(data) as quiver:
        found = quiver.pull(profile)
    if json:
        print_json(found)
        return
    for each in found or ["nothing to download: its weights are installed"]:
        out.print(shown(each), highlight=False)


@models.command("check")
def check(profile: Profile, data: Data = None, json: Json = False) -> None:
    """Load a profile's models and try every promise of an encoder; tell how each tower is computed on this machine.

    Exits with 1 when a promise is broken.
    """
    with opened(data) as quiver:
        found = quiver.check(profile)
    if json:
        print_json(found)
    else:
        rows = [[space, each.promise, each.broken or "kept"] for space, one in found.items() for each in one.promises]
        table(["space", "promise", "found"], rows)
        for space, one in found.items():
            for tower, how in one.how.items():
                out.print(f"{space}, {tower}: {how}", highlight=False, markup=False)
    if any(each.broken for one in found.values() for each in one.promises):
        raise typer.Exit(1)


def _where(each: ModelView) -> str:
    return "yes" if each.here else f"no, {each.megabytes} MB"


@app.command()
def embed(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts.", show_default=False)] = None,
    image: Images = None,
    model: Model = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Vectors of texts and pictures, all of one space, in their order."""
    with opened(data) as quiver:
        made = quiver.embed(_contents(texts, image), model=model)
    if json:
        print_json({"model": made.model, "encoder": made.encoder, "vectors": made.vectors.tolist()})
        return
    for row in made.vectors:
        shown = " ".join(f"{value:.4f}" for value in row[:6])
        out.print(f"{shown} … ({len(row)} dimensions)", highlight=False, markup=False)
    out.print(f"{made.model} = {made.encoder}; --json has all of it", style="dim", highlight=False, markup=False)


@app.command()
def rerank(
    query: Annotated[str, typer.Argument(help="Words.")],
    documents: Annotated[list[str] | None, typer.Argument(help="Texts.", show_default=False)] = None,
    image: Images = None,
    model: Model = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Documents by their likeness to a query: the cosine in a space that embeds all of them."""
    given = _contents(documents, image)
    names = [*(documents or []), *(str(path) for path in image or [])]
    with opened(data) as quiver:
        ranked = quiver.rerank(query, given, model=model)
    if json:
        order = [{"index": at, "score": score} for at, score in ranked.order]
        print_json({"model": ranked.model, "encoder": ranked.encoder, "order": order})
    else:
        table(["score", "document"], [[f"{score:.4f}", names[at]] for at, score in ranked.order])
