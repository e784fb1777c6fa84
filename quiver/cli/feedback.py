"""`quiver feedback`: verdicts on the answers to recorded searches, one in, or all out."""

from __future__ import annotations

import json as encode
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadQuery, BlobsDown
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import out, print_json
from quiver.judging import Judgement
from workers.trec import qrels_lines

SHOWN = 20  # searches listed in a terminal; --json has them all


@app.command()
def feedback(
    query: Annotated[str | None, typer.Argument(help="Id that a recorded search has.", show_default=False)] = None,
    asset: Annotated[str | None, typer.Argument(help="What was found, by id or name.", show_default=False)] = None,
    grade: Annotated[int, typer.Argument(help="0: wrong; 1: right; up to 100: better.")] = 1,
    export: Annotated[
        Path | None, typer.Option(help="Write all verdicts there, as TREC's judgements.", show_default=False)
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="With --export: write the searches there, as JSON Lines.", show_default=False)
    ] = None,
    collection: CollectionOption = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """Say how good an asset is as an answer to a recorded search, or write all that was said for `quiver evaluate`."""
    if (export is None) != (queries is None) or (export is None) == (query is None or asset is None):
        raise BadQuery("say QUERY ASSET [GRADE], or --export QRELS --queries QUERIES to write what was said")
    if export is None or queries is None:
        assert query is not None
        assert asset is not None
        with opened(data) as quiver:
            quiver.feedback(collection, query, asset, grade)
        if json:
            print_json({"query": query, "asset": asset, "grade": grade})
        return
    with opened(data) as quiver:
        held = list(quiver.judgements(collection))
    kept, left = [one for one in held if not one.lost], [one for one in held if one.lost]
    verdicts, nameless = _qrels(kept)
    _write(queries, (encode.dumps({"id": str(one.query), **one.said}, ensure_ascii=False) + "\n" for one in kept))
    _write(export, verdicts)
    lost = [{"query": str(one.query), "lost": list(one.lost)} for one in left]
    if json:
        print_json({"queries": len(kept), "verdicts": len(verdicts), "lost": lost, "nameless": nameless})
        return
    out.print(f"{queries}: {len(kept):,} queries; {export}: {len(verdicts):,} verdicts", highlight=False, markup=False)
    if left:
        said = f"{len(left):,} searches cannot be asked again, for what they were asked by is not kept:"
        out.print(said, style="yellow", highlight=False, markup=False)
        for one in left[:SHOWN]:
            out.print(f"  {one.query}: {', '.join(one.lost)}", highlight=False, markup=False)
    for name in nameless[:SHOWN]:
        out.print(name, style="yellow", highlight=False, markup=False)


def _qrels(held: Iterable[Judgement]) -> tuple[list[str], list[str]]:
    """Lines, and why others cannot be written."""
    lines: list[str] = []
    wrong: list[str] = []
    for one in held:
        for asset, grade in one.grades.items():
            try:
                lines += qrels_lines({str(one.query): {asset: grade}})
            except BadQuery as fault:
                wrong.append(str(fault))
    return lines, wrong


def _write(path: Path, lines: Iterable[str]) -> None:
    try:
        with path.open("w", encoding="utf-8") as target:
            target.writelines(lines)
    except OSError as exc:
        raise BlobsDown(f"{path} cannot be written: {exc.strerror}") from exc
