"""`quiver reindex`: another model, other spaces, fields or storage, while searches and writes go on."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from core.records import IndexState, Storage
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.gauge import Tell, gauge
from quiver.cli.render import out, print_json, shown, table
from quiver.cli.wish import wishing
from workers.rebuilding import Progress
from workers.reindex import Standing
from workers.verify import BUDGET
from workers.wishes import Plan

reindex = typer.Typer(
    help="Change a collection's model, spaces, fields or storage under traffic.", no_args_is_help=True
)
app.add_typer(reindex, name="reindex")

Name = Annotated[str, typer.Argument(help="Name of the collection.")]
Rate = Annotated[
    float | None,
    typer.Option(help="Assets a second at most; 0: as fast as it can; not said: as before.", min=0, show_default=False),
]
Reason = Annotated[str | None, typer.Option("--force", help="Do it although something would be lost, and why.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]


@reindex.command()
@wishing
def plan(collection: Name, wish: dict[str, Any], data: Data = None, json: Json = False) -> None:
    """Say what it would take, measured on a few assets. Nothing is written."""
    with opened(data) as quiver:
        said = quiver.reindex_plan(collection, **wish)
    if json:
        print_json(said)
    else:
        show_plan(said)


@reindex.command()
@wishing
def start(
    collection: Name,
    wish: dict[str, Any],
    rate: Rate = None,
    anew: Annotated[bool, typer.Option("--anew", help="Also when nothing would change.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Have it serve when it is built and verified.")] = False,
    background: Annotated[bool, typer.Option("--background", help="Leave the build to the workers.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Build another index beside the one that serves, and verify it. Stopped anywhere, it goes on when run again."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        if background:
            said = quiver.reindex_start(collection, rate=rate, anew=anew, **wish)
        else:
            said = quiver.reindex(
                collection, rate=rate, anew=anew, switch=switch, on_progress=partial(_tell, tell), **wish
            )
    _end(said, json=json)


@reindex.command()
def status(collection: Name, data: Data = None, json: Json = False) -> None:
    """Say which indexes there are, how far the coming one is, and what it lacks."""
    with opened(data) as quiver:
        said = quiver.reindex_status(collection)
    _show(said, json=json)


@reindex.command()
def verify(
    collection: Name,
    sample: Annotated[int, typer.Option(help="Assets that are embedded again.", min=0)] = 64,
    recall: Annotated[float, typer.Option(help="Of the exact nearest, the part to be found.", min=0, max=1)] = 0.95,
    query: Annotated[
        list[str] | None, typer.Option("--query", "-q", help="A text that both indexes are asked.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Part of their nearest to be the same.", min=0, max=1)] = 0.0,
    queries: Annotated[
        Path | None, typer.Option(help='Judged queries, one a line: {"id": "q1", "text": "…"}.', show_default=False)
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Their judgements, one a line: QUERY 0 ASSET GRADE.", show_default=False)
    ] = None,
    budget: Annotated[float, typer.Option(help="What their nDCG@10 may fall by.", min=0, max=1)] = BUDGET,
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare the built index with the catalogue, with the one that serves, and with its own models."""
    with opened(data) as quiver:
        said = quiver.reindex_verify(
            collection,
            sample=sample,
            recall=recall,
            queries=query or (),
            overlap=overlap,
            judged=queries,
            qrels=qrels,
            budget=budget,
        )
    if json:
        print_json(said)
    else:
        _checks([(one.name, one.passed, one.message) for one in said.checks])
    if not said.passed:
        raise typer.Exit(1)


@reindex.command()
def switch(collection: Name, force: Reason = None, data: Data = None, json: Json = False) -> None:
    """Have the verified index serve. The one before goes on being written to, for a way back."""
    with opened(data) as quiver:
        said = quiver.reindex_switch(collection, reason=force)
    _show(said, json=json)


@reindex.command()
def rollback(collection: Name, force: Reason = None, data: Data = None, json: Json = False) -> None:
    """Have the index serve again that did before the switch."""
    with opened(data) as quiver:
        said = quiver.reindex_rollback(collection, reason=force)
    _show(said, json=json)


@reindex.command()
def retire(collection: Name, data: Data = None, json: Json = False) -> None:
    """Drop the indexes that served before, were rolled back or given up. There is no way back then."""
    with opened(data) as quiver:
        gone = quiver.reindex_retire(collection)
    if json:
        print_json(gone)
    else:
        out.print(shown(f"dropped: {', '.join(gone) or 'nothing'}"))


@reindex.command()
def abort(collection: Name, reason: Why = "", data: Data = None, json: Json = False) -> None:
    """Give up the index that is being built, and drop it."""
    with opened(data) as quiver:
        said = quiver.reindex_abort(collection, reason=reason)
    _show(said, json=json)


@reindex.command()
def pause(collection: Name, reason: Why = "", data: Data = None, json: Json = False) -> None:
    """Have nothing more built until it is resumed."""
    with opened(data) as quiver:
        said = quiver.reindex_pause(collection, reason=reason)
    _show(said, json=json)


@reindex.command()
def resume(
    collection: Name,
    rate: Rate = None,
    background: Annotated[bool, typer.Option("--background", help="Leave the build to the workers.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Go on, with what failed too."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        said = quiver.reindex_resume(collection, rate=rate)
        if not background:
            said = quiver.reindex_run(collection, on_progress=partial(_tell, tell))
    _end(said, json=json)


def _tell(tell: Tell, now: Progress) -> None:
    tell(f"{now.state}, {now.rate:.1f}/s, {now.failed} failed", now.done, now.total)


def _end(said: Standing, *, json: bool) -> None:
    _show(said, json=json)
    if said.paused or any(not check["passed"] for check in said.checks):
        raise typer.Exit(1)


def show_plan(said: Plan) -> None:
    """What a reindexing would take, for people."""
    took = "unknown: nothing is indexed" if said.seconds is None else _time(said.seconds)
    lines = [
        ("profile", said.profile),
        ("copied", ", ".join(said.copied) or "nothing"),
        ("embedded", ", ".join(said.embedded) or "nothing"),
        ("dropped", ", ".join(said.dropped) or "nothing"),
        ("fields", ", ".join([*(f"+{one}" for one in said.fields_added), *(f"-{one}" for one in said.fields_dropped)])),
        ("storage", _change(said.storage_was, said.storage)),
        ("assets", f"{said.assets:,}, of which {said.decoded:,} are read again"),
        ("takes", f"{took} (by {said.sample.assets} assets, {said.sample.lanes} lanes)"),
        ("disk", _room(said)),
    ]
    if said.nothing:
        lines = [("nothing", "it has that profile, those spaces, fields and that storage")]
    table(["what", "plan"], [line for line in lines if line[1]])
    for message in said.sample.messages:
        out.print(shown(f"would fail: {message}"), style="red")


def _change(was: Storage, now: Storage) -> str:
    """What of it changes; nothing: all stays."""
    before, after = was.as_dict(), now.as_dict()
    return ", ".join(f"{part} {after[part]} (was {before[part]})" for part in after if after[part] != before[part])


def _room(said: Plan) -> str:
    free = "" if said.free is None else f", {said.free / 1e6:,.1f} MB free"
    return (
        f"{said.bytes / 1e6:,.1f} MB{free}{': NOT ENOUGH' if said.free is not None and said.free < said.bytes else ''}"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{timedelta(seconds=round(seconds))}"


def _show(said: Standing, *, json: bool) -> None:
    if json:
        print_json(said)
        return
    every = [said.serving, *([said.coming] if said.coming else []), *said.kept]
    table(
        ["index", "state", "profile", "since", "note"],
        [
            [one.index.id, one.index.state, one.index.profile, f"{one.changed_at:%Y-%m-%d %H:%M:%S}", one.note]
            for one in every
        ],
    )
    if said.coverage is not None:
        held = said.coverage
        left = "" if said.seconds_left is None else f", {_time(said.seconds_left)} left"
        most = said.coming.plan.get("rate") if said.coming else None
        most = f" of {most:g}/s at most" if most else ""
        rate = (
            f"{said.rate:.1f}/s{most}{left}" if said.coming and said.coming.index.state is IndexState.BUILDING else ""
        )
        why = said.coming.plan.get("why_paused") if said.coming else ""
        paused = f"paused{': ' + why if why else ''}; `quiver reindex resume` goes on"
        stands = paused if said.paused else rate
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(held.failures.items()))
        of = f"{held.held:,} of {held.present:,} assets, {held.failed:,} failed{f' ({kinds})' if kinds else ''}"
        out.print(shown(f"{of}{'; ' + stands if stands else ''}"), soft_wrap=True)
    if said.verified_at is not None:
        out.print(f"verified {said.verified_at:%Y-%m-%d %H:%M:%S}")
    _checks([(check["name"], check["passed"], check["message"]) for check in said.checks])
    building = said.coming is not None and said.coming.index.state is IndexState.BUILDING
    for name, why in () if building else said.examples:  # a build lacks what it has not come to
        out.print(shown(f"would be lost: {name} ({why})"), style="red")


def _checks(checks: list[tuple[str, bool, str]]) -> None:
    if checks:
        table(["check", "", "found"], [[name, "passed" if passed else "FAILED", said] for name, passed, said in checks])
