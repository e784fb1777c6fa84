"""`quiver recommend`: for one person, or for a file of them."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import BadQuery
from quiver.asking import json_of
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.feeds import feeds_bar
from quiver.cli.render import first, noted, out, print_json, table
from quiver.cli.search import weights_of
from retrieval.recommendation import Recommendation
from workers.recommending import Feeds


@app.command()
def recommend(
    like: Annotated[list[str] | None, typer.Argument(help="What is liked: ids or names.", show_default=False)] = None,
    less: Annotated[list[str] | None, typer.Option(help="What is not liked: an id or name.")] = None,
    example: Annotated[
        list[str] | None, typer.Option(help='An example as JSON: {"text": "at night", "weight": 0.5}.')
    ] = None,
    users: Annotated[Path | None, typer.Option(help="People as JSON lines, each with `user`.")] = None,
    to: Annotated[Path | None, typer.Option("--out", help="With --users: feeds, .jsonl or .parquet.")] = None,
    seen: Annotated[Path | None, typer.Option(help="A file of what was seen, an id or name a line.")] = None,
    collection: CollectionOption = "default",
    strategy: Annotated[str, typer.Option(help="average, best or sum.")] = "average",
    half_life: Annotated[str | None, typer.Option(help="In which weights of examples halve: 7d.")] = None,
    where: Annotated[str | None, typer.Option("--where", "-w", help="A filter, as of a search.")] = None,
    modality: Annotated[list[str] | None, typer.Option("--modality", "-m", help="text, image, audio, video.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many for each.")] = 10,
    again: Annotated[bool, typer.Option("--again", help="Examples may be recommended, too.")] = False,
    min_score: Annotated[float | None, typer.Option(help="The least probability of relevance.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every point.")] = False,
    fusion: Annotated[str | None, typer.Option(help="rrf, weighted or dbsf.", show_default=False)] = None,
    weight: Annotated[list[str] | None, typer.Option(help="A space's weight: concept=0.5.")] = None,
    rerank: Annotated[list[str] | None, typer.Option(help="A stage, as mmr:lambda=0.7.")] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for the stages.", show_default=False)] = None,
    freshness: Annotated[str | None, typer.Option(help="FIELD:7d, a datetime field and a half-life.")] = None,
    quota: Annotated[list[str] | None, typer.Option(help="FIELD=2: so many of a value on a page at most.")] = None,
    share: Annotated[list[str] | None, typer.Option(help="FIELD=VALUE=0.3: at least this part of a page.")] = None,
    fallback: Annotated[str, typer.Option(help="recent, recent:FIELD, popular:FIELD or none.")] = "recent",
    page: Annotated[str | None, typer.Option(help="The token of the page before.")] = None,
    reasons: Annotated[bool, typer.Option(help="Tell which example each is near.")] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Recommend what is near what somebody liked and was not seen; with --users, for a whole file of people."""
    said: dict[str, Any] = {
        "strategy": strategy,
        "half_life": half_life,
        "where": where,
        "modality": modality or None,
        "limit": limit,
        "again": again,
        "min_score": min_score,
        "exact": exact,
        "fusion": fusion,
        "weights": weights_of(weight or ()),
        "rerank": rerank or (),
        "budget": budget,
        "freshness": freshness,
        "quota": _quota(quota or []),
        "shares": _shares(share or []),
        "fallback": fallback,
        "reasons": reasons,
    }
    if users is not None:
        if to is None or like or less or example or seen or page:
            raise BadQuery("with --users say where to by --out; what each likes and has seen is in the file")
        with opened(data) as quiver, feeds_bar(quiet=json) as tell:
            done = quiver.recommend_to_file(collection, users, to, on_progress=tell, **said)
        _told(done, to, json=json)
        raise typer.Exit(1 if done.bad else 0)
    if to is not None:
        raise BadQuery("--out is for feeds of --users: redirect the output instead")
    with opened(data) as quiver:
        made = quiver.recommend(
            collection,
            [*(like or ()), *(json_of(one, "--example") for one in example or ())],
            less or (),
            seen=seen or (),
            page=page,
            **said,
        )
    print_json(made) if json else _shown(made)


def _shown(made: Recommendation) -> None:
    rows: list[list[object]] = []
    for at, item in enumerate(made.items, start=1):
        near = item.because
        why = item.fallback or ("" if near is None else f"{near.example} ({near.space} {near.score:.2f})")
        rows.append([at, f"{item.hit.score:.4f}", item.hit.modality, item.hit.external_id, why])
    table(["#", "score", "kind", "asset", "because"], rows)
    late = "not done, for lack of time"
    for what, names in (("not there", made.unknown), ("not indexed yet", made.pending), (late, made.partial)):
        if names:
            out.print(f"{what}: {', '.join(names)}", style="yellow", markup=False, highlight=False)
    noted(made.notes)
    if made.page:
        out.print(f"next page: --page {made.page}", style="dim", markup=False, highlight=False, soft_wrap=True)


def _told(done: Feeds, to: Path, *, json: bool) -> None:
    if json:
        print_json(done)
        return
    said = f"{to}: {done.users:,} feeds of {done.lines:,} lines"
    if done.resumed:
        said += f", {done.resumed:,} of them done before"
    out.print(said, markup=False, highlight=False, soft_wrap=True)
    if done.bad:
        first(["line", "why", "what to do"], [[one.line, one.kind, one.message] for one in done.bad])


def _quota(said: list[str]) -> dict[str, int]:
    made = {}
    for one in said:
        name, _, most = one.partition("=")
        if not most.isdigit():
            raise BadQuery(f"{one!r}: write a quota as FIELD=2")
        made[name] = int(most)
    return made


def _shares(said: list[str]) -> dict[str, dict[Any, float]]:
    made: dict[str, dict[Any, float]] = {}
    for one in said:
        pair, _, share = one.rpartition("=")
        name, equals, value = pair.partition("=")
        try:
            key: Any = jsons.loads(value) if value in ("true", "false") or value.lstrip("-").isdigit() else value
            made.setdefault(name, {})[key] = float(share)
        except ValueError as exc:
            raise BadQuery(f"{one!r}: write a share as FIELD=VALUE=0.3") from exc
        if not equals:
            raise BadQuery(f"{one!r}: write a share as FIELD=VALUE=0.3")
    return made
