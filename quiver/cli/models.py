"""`quiver embed` and `rerank`: the encoders and the order by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest.files import opened as opened_file
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.render import out, print_json, table

Model = Annotated[str | None, typer.Option(help="PROFILE or PROFILE#SPACE.", show_default=False)]
Images = Annotated[list[Path] | None, typer.Option("--image", help="A picture, after the texts.", show_default=False)]


def _contents(texts: list[str] | None, images: list[Path] | None) -> list[str | bytes]:
    contents: list[str | bytes] = list(texts or [])
    for path in images or []:
        with opened_file(path) as source:
            contents.append(source.read())
    return contents


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
