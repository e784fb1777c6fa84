"""`quiver backup` and `quiver restore`: for the operator, on the machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from quiver.cli.app import Data, Json, app, opened
from quiver.cli.gauge import gauge
from quiver.cli.render import err, out, print_json, shown
from workers.restore import Verified

MOST = 20  # problems that are shown


@app.command()
def backup(
    place: Annotated[
        Path, typer.Argument(help="Folder, to which only what is new is added; or a file ending with .tar.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Make none: read the one that is there, and compare it with its digests.")
    ] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="Without them all is embedded again after a restore.")
    ] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Back up catalogue, bytes and vectors of all tenants, while everything runs."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        if verify:
            found = quiver.verify(place, on_progress=lambda now: tell(now.stage, now.done, now.total))
        else:
            done = quiver.backup(place, vectors=vectors, on_progress=lambda now: tell(now.stage, now.done, now.total))
    if verify:
        _show(found, json=json)
        return
    if json:
        print_json(done)
        return
    said = f"{done.place}: {done.points:,} points, {done.blobs:,} files, of which {done.new_blobs:,} are new"
    out.print(said, highlight=False, markup=False, soft_wrap=True)
    if done.absent:
        out.print(f"{len(done.absent):,} files are not there: their assets were imported without bytes", style="yellow")
    if done.changing:
        out.print(f"{done.changing:,} assets were just being changed: a restore indexes them again", style="yellow")


def _show(found: Verified, *, json: bool) -> None:
    if json:
        print_json({**asdict(found), "ok": found.ok})
    else:
        read = f"{found.points:,} points, {found.blobs:,} files"
        said = f"{read}: it is whole" if found.ok else f"DAMAGED: a restore would refuse it. What can be read: {read}"
        out.print(f"{found.place} of {found.made_at}: {said}", highlight=False, markup=False, soft_wrap=True)
        for problem in found.problems[:MOST]:
            err.print(shown(problem), style="red", soft_wrap=True)
        if len(found.problems) > MOST:
            err.print(f"and {len(found.problems) - MOST:,} more: --json lists a hundred", style="red")
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def restore(
    place: Annotated[Path, typer.Argument(help="What `quiver backup` made.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there: all of it, of every tenant.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Bring a backup back, into whatever catalogue and store are set. Stop everything else first."""
    with opened(data) as quiver, gauge(quiet=json) as tell:
        done = quiver.restore(place, force=force, on_progress=lambda now: tell(now.stage, now.done, now.total))
    if json:
        print_json(done)
        return
    said = f"{len(done.collections)} collections of {done.made_at}: {done.points:,} points, {done.blobs:,} files"
    out.print(said, highlight=False, markup=False)
    if done.erased:
        out.print(f"erased again, since it was erased after the backup: {done.erased:,} orders", highlight=False)
    if done.drift:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(done.drift.items()))
        out.print(f"brought to what the catalogue says: {kinds}", style="yellow", highlight=False)
