"""`quiver failures` and `quiver reconcile`: what went wrong, and what to do about it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from core.errors import BadQuery
from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import out, print_json, table

failures = typer.Typer(help="What could not be indexed, and why: list, show, retry, discard.", no_args_is_help=True)
app.add_typer(failures, name="failures")

Kind = Annotated[str | None, typer.Option("--class", help="Only of this class, CorruptMedia for instance.")]
Older = Annotated[str | None, typer.Option("--older-than", help="Only those last tried so long ago: 90s, 15m, 2h, 7d.")]
Names = Annotated[list[str] | None, typer.Argument(help="Ids or names; without any, all.", show_default=False)]
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(said: str | None) -> timedelta | None:
    """`15m` as a duration. Raises BadQuery."""
    if said is None:
        return None
    read = re.fullmatch(r"(\d{1,6})([smhd])", said)
    if read is None:
        raise BadQuery(f"{said!r} is no age: write 90s, 15m, 2h or 7d")
    return timedelta(**{UNITS[read[2]]: int(read[1])})


@failures.command("list")
def list_(
    collection: CollectionOption = "default",
    kind: Kind = None,
    older_than: Older = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.")] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """What failed, newest first."""
    with opened(data) as quiver:
        found = quiver.failures(collection, kind=kind, older_than=age(older_than), limit=limit)
    if json:
        print_json(found)
        return
    table(
        ["asset", "class", "attempts", "last tried", "retried", "what to do"],
        [
            [
                one.external_id,
                one.kind,
                one.attempts,
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                f"{one.retry_at:%H:%M:%S}" if one.retry_at else "when told to",
                one.message,
            ]
            for one in found
        ],
    )


@failures.command("show")
def show(
    asset: Annotated[str, typer.Argument(help="Id or name.")],
    collection: CollectionOption = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """One failure with everything known of it."""
    with opened(data) as quiver:
        failure = quiver.show(collection, asset).failure
    if failure is None:
        raise BadQuery(f"{asset!r} has not failed: `quiver show` says how it stands")
    if json:
        print_json(failure)
    else:
        table(["", ""], [[name, getattr(failure, name)] for name in failure.__slots__])


@failures.command("retry")
def retry(
    assets: Names = None,
    collection: CollectionOption = "default",
    kind: Kind = None,
    older_than: Older = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Try again: the assets named, or all of a class and age."""
    with opened(data) as quiver:
        count = quiver.retry(collection, *(assets or []), kind=kind, older_than=age(older_than))
        left = len(quiver.failures(collection, limit=1_000_000))
    if json:
        print_json({"retried": count, "failures": left})
    else:
        out.print(f"{count} tried again; {left} failures now", highlight=False)


@failures.command("discard")
def discard(
    assets: Names = None,
    collection: CollectionOption = "default",
    kind: Kind = None,
    older_than: Older = None,
    everything: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Give up: remove the failed assets named, or all of a class and age, from the collection."""
    if not (assets or kind or older_than or everything):
        raise BadQuery("name what to discard: assets, --class, --older-than, or --all")
    with opened(data) as quiver:
        count = quiver.discard(collection, *(assets or []), kind=kind, older_than=age(older_than))
    if json:
        print_json({"discarded": count})
    else:
        out.print(f"{count} discarded", highlight=False)


@app.command()
def reconcile(
    collection: CollectionOption = "default",
    repair: Annotated[bool, typer.Option("--repair", help="Make the index agree; without it nothing changes.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare the catalogue with the index, both ways. Exits 1 when they disagree and nothing was repaired."""
    with opened(data) as quiver:
        drift = quiver.reconcile(collection, repair=repair)
        mended = {finding.asset for finding in drift.findings} if repair else set()
        lost = [one for one in quiver.failures(collection, limit=100_000) if one.asset_id in mended]
    if json:
        print_json(drift)
    else:
        table(["asset", "index", "drift"], [[f.external_id, f.index, ", ".join(f.kinds)] for f in drift.findings[:50]])
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(drift.counts.items())) or "no drift"
        done = f"; {drift.repaired} repaired" if repair else ""
        out.print(f"{drift.points} points, {drift.receipts} receipts: {said}{done}", highlight=False)
        if lost:
            out.print(f"{len(lost)} could not be indexed again: `quiver failures list`", highlight=False)
    if lost or (drift.counts and not repair):
        raise typer.Exit(1)
