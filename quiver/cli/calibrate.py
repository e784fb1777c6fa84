"""`quiver calibrate`: how likely a hit is to be relevant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quiver.cli.app import Data, Json, app, opened
from quiver.cli.gauge import gauge
from quiver.cli.render import print_json, table


@app.command()
def calibrate(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    queries: Annotated[
        Path | None, typer.Option(help='Queries, one a line: {"id": "q1", "text": "…"}.', show_default=False)
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements, one a line: QUERY 0 ASSET GRADE.", show_default=False)
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help='Captions, one a line: {"text": "…", "asset": "…"}.', show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Fit how scores become probabilities of relevance: to the collection itself, or better to judgements."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        made = quiver.calibrate(
            collection,
            queries=queries,
            qrels=qrels,
            pairs=pairs,
            on_progress=lambda done, total: tell("calibrating", done, total),
        )
    if json:
        print_json(made)
        return
    table(
        ["space", "query", "found", "questions", "judgements", "score at 0.5"],
        [[one.space, one.asked, one.content, one.questions, one.judged or "", _score(one.even)] for one in made],
    )


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"
