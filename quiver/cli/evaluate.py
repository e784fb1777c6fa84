"""`quiver evaluate`: how good the answers to judged queries are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadQuery, BlobsDown
from quiver.asking import json_of
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.gauge import gauge
from quiver.cli.render import out, print_json, table
from quiver.report_page import report_page
from retrieval.evaluate import AT, DEPTH, Report, measures_of
from retrieval.measures import Figure
from workers.evaluating import SAMPLE
from workers.trec import run_lines

SHOWN = 20  # names of what was left out; --json has them all


@app.command()
def evaluate(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    queries: Annotated[
        Path | None,
        typer.Option(help='Queries, one a line: {"id": "q1", "text": "…", "language": "en"}.', show_default=False),
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements, one a line: QUERY 0 ASSET GRADE.", show_default=False)
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help='Captions, one a line: {"text": "…", "asset": "…"}, or with a tab.', show_default=False),
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help='How all are asked, as JSON: {"fusion": "weighted"}.', show_default=False)
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another collection, asked the same and compared.", show_default=False)
    ] = None,
    against_settings: Annotated[
        str | None, typer.Option(help="Other settings as JSON, asked the same and compared.", show_default=False)
    ] = None,
    at: Annotated[list[int] | None, typer.Option(help="A depth of recall, precision and nDCG; 1, 5 and 10.")] = None,
    depth: Annotated[int, typer.Option(help="Hits that are asked for.")] = DEPTH,
    by: Annotated[
        list[str] | None, typer.Option(help="Slice by that, too: a member of queries, or a field of assets.")
    ] = None,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", help="Compare with exact search under this filter, too.")
    ] = None,
    recall_sample: Annotated[int, typer.Option(help="Queries that are compared with exact search; 0: none.")] = SAMPLE,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals, the test and the samples.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write the report there as a page.", show_default=False)] = None,
    run: Annotated[
        Path | None, typer.Option(help="Write the hits there, as TREC's programs read them.", show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Ask judged queries, and tell how good the answers are: measures, slices, intervals, and a comparison."""
    for target in (html, run):
        if target is not None and (target.is_dir() or not target.resolve().parent.is_dir()):
            raise BadQuery(f"{target}: give the name of a file in a folder that is there")
    with opened(data) as quiver, gauge(quiet=json) as tell:
        said = quiver.evaluate(
            collection,
            queries,
            qrels,
            pairs=pairs,
            settings=json_of(settings, "--settings") if settings is not None else None,
            against=against,
            against_settings=json_of(against_settings, "--against-settings") if against_settings is not None else None,
            depth=depth,
            at=tuple(dict.fromkeys(at or AT)),
            by=by or (),
            filters=filter_ or (),
            recall_sample=recall_sample,
            seed=seed,
            on_progress=tell,
        )
    if html is not None:
        _write(html, [report_page(said)])
    if run is not None:
        _write(run, run_lines(said.run, f"quiver-{said.collection}"))
    if json:
        print_json(said.as_dict())
    else:
        _show(said)
    if not said.ok:
        raise typer.Exit(1)


def _show(said: Report) -> None:
    names = measures_of(said)
    line = f"{said.queries:,} queries, {said.judgements:,} judgements, {said.depth} hits each"
    out.print(f"{line}; p50 {said.seconds['p50'] * 1e3:.1f} ms", style="dim", highlight=False, markup=False)
    table(["measure", "mean", "95 %"], [[name, *_cells(said.figures[name])] for name in names])
    chosen = [name for name in names if name.endswith(f"@{max(said.at)}") and not name.startswith("Judged")]
    if said.slices:
        out.print()
        table(
            ["by", "value", "queries", *chosen, "MRR"],
            [
                [one.by, one.value, one.queries, *(f"{one.figures[name].mean:.3f}" for name in (*chosen, "MRR"))]
                for one in said.slices
            ],
        )
    if said.recall:
        out.print()
        table(
            ["against exact search", "leaves", "queries", f"recall@{max(said.at)}", "95 %", "worst"],
            [
                [
                    one.where or "no filter",
                    "" if one.selectivity is None else f"{one.selectivity:.2%}",
                    one.queries,
                    *_cells(one.recall),
                    f"{one.worst:.2f}",
                ]
                for one in said.recall
            ],
        )
    if said.gaps:
        out.print()
        table(
            ["modality gap", "pairs", "distance", "cosine in pairs", "out of pairs"],
            [
                [
                    f"{one.space}: {one.asked} → {one.content}",
                    one.apart.pairs,
                    *(f"{value:.3f}" for value in (one.apart.distance, one.apart.paired, one.apart.unpaired)),
                ]
                for one in said.gaps
            ],
        )
    if said.comparison is not None:
        out.print()
        table(
            [f"against {said.comparison.collection}", "here", "there", "difference", "95 %", "p", "better/worse/same"],
            [
                [
                    one.measure,
                    f"{one.here:.3f}",
                    f"{one.there:.3f}",
                    f"{one.difference:+.3f}",
                    f"[{one.low:+.3f}, {one.high:+.3f}]",
                    f"{one.p:.4f}",
                    f"{one.better}/{one.worse}/{one.same}",
                ]
                for one in said.comparison.differences
            ],
        )
    _told("lines could not be read", said.refused)
    _told("queries were refused, and count as not answered", [f"{query}: {why}" for query, why in said.failed])
    _told("judged assets are not there, and count as not found", said.unknown)
    _told("judged queries were not given", said.unasked)
    _told(f"queries have no relevant asset, and are in no figure; {said.empty} came back empty", said.unjudged)
    if said.comparison is not None:
        _told("queries were refused by the other", [f"{query}: {why}" for query, why in said.comparison.failed])


def _told(what: str, names: Sequence[str]) -> None:
    if names:
        out.print(f"{len(names):,} {what}:", style="yellow", highlight=False, markup=False)
        more = [f"and {len(names) - SHOWN:,} more: use --json"] if len(names) > SHOWN else []
        for name in [*names[:SHOWN], *more]:
            out.print(f"  {name}", highlight=False, markup=False, soft_wrap=True)


def _cells(one: Figure) -> tuple[str, str]:
    return f"{one.mean:.3f}", f"[{one.low:.3f}, {one.high:.3f}]"


def _write(path: Path, lines: Iterable[str]) -> None:
    try:
        with path.open("w", encoding="utf-8") as target:
            target.writelines(lines)
    except OSError as exc:
        raise BlobsDown(f"{path} cannot be written: {exc.strerror}") from exc
