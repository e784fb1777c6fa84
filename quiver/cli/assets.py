"""`quiver status`, `show` and `rm`."""

from __future__ import annotations

from typing import Annotated

import typer

from quiver.cli.app import CollectionOption, Data, Json, app, opened
from quiver.cli.render import err, out, print_json, shown, table


@app.command()
def status(
    collection: Annotated[str | None, typer.Argument(help="Without it, all.", show_default=False)] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """How many assets are in each state, and which fields and encoders a collection has."""
    with opened(data) as quiver:
        known = quiver.status(collection)
    if json:
        print_json(known)
        return
    if not known:
        out.print("there is no collection yet: `quiver ingest PATH` makes one")
        return
    states = list(known[0].counts)
    table(
        ["collection", *states, "fields", "profile"],
        [
            [
                each.name,
                *(each.counts[state] for state in states),
                " ".join(f"{name}={kind}" for name, kind in each.fields.items()) or "-",
                each.profile,
            ]
            for each in known
        ],
    )
    for profile in sorted({each.profile for each in known}):
        spaces = next(each.encoders for each in known if each.profile == profile)
        for space, model in spaces.items():
            out.print(f"{profile}: {space} = {model}", style="dim", markup=False, highlight=False, soft_wrap=True)


@app.command()
def stats(
    collection: Annotated[str, typer.Argument(help="Its name.")] = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """Where the time of indexing goes: what an asset takes in each stage, on average."""
    with opened(data) as quiver:
        spent = quiver.stats(collection)
    if json:
        print_json(spent)
        return
    if not spent:
        out.print("nothing was indexed yet: `quiver ingest PATH` does it")
        return
    whole = sum(spent.values())
    table(
        ["stage", "ms an asset", "share"],
        [
            [stage, f"{1000 * seconds:.2f}", f"{seconds / whole:.0%}"]
            for stage, seconds in sorted(spent.items(), key=lambda one: -one[1])
        ],
    )


@app.command()
def show(
    asset: Annotated[str, typer.Argument(help="Id or name.")],
    collection: CollectionOption = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """One asset: its state, metadata, why it failed, where its bytes lie."""
    with opened(data) as quiver:
        view = quiver.show(collection, asset)
    if json:
        print_json(view)
        return
    rows: list[tuple[str, object]] = [
        ("id", view.asset.id),
        ("name", view.asset.external_id),
        ("state", view.state),
        ("kind", f"{view.asset.modality}, {view.asset.media_type}, {view.asset.size:,} bytes"),
        ("generation", view.asset.generation),
        ("sha-256", view.asset.digest),
        ("since", f"{view.asset.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        *((name, value) for name, value in view.asset.metadata.items()),
    ]
    if view.failure is not None:
        rows.append(("failure", f"{view.failure.kind}: {view.failure.message} ({view.failure.attempts} attempts)"))
    if view.path is not None:
        rows.append(("bytes", view.path))
    table(["", ""], rows)


@app.command()
def rm(
    assets: Annotated[list[str], typer.Argument(help="Ids or names.")],
    collection: CollectionOption = "default",
    data: Data = None,
    json: Json = False,
) -> None:
    """Remove assets: found no more when this returns."""
    with opened(data) as quiver:
        done = quiver.remove(collection, *assets)
    if json:
        print_json(done)
    else:
        out.print(f"{done.removed} removed", highlight=False)
        for name in done.unknown:
            err.print(shown(f"there is no asset {name!r} in {collection!r}"), soft_wrap=True)
    if done.unknown:
        raise typer.Exit(1)
