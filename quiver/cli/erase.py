"""`quiver erase` and `quiver erasures`: gone for good, and the receipts that prove it."""

from __future__ import annotations

import json as js
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress as Bar

from core.erasing import Erasure
from core.errors import BadQuery, NoSuchPath
from quiver import Quiver
from quiver.cli.app import Data, Json, app, opened
from quiver.cli.render import err, out, print_json, shown, table
from quiver.erasing import Erased

erasures = typer.Typer(help="Receipts of what was erased: list, show, verify, replay.", no_args_is_help=True)
app.add_typer(erasures, name="erasures")

Receipts = Annotated[
    Path | None, typer.Option("--receipts", help="A file with receipts that were kept, as --json prints them.")
]


@app.command()
def erase(
    asset: Annotated[list[str] | None, typer.Option("--asset", help="Id of an asset; may come several times.")] = None,
    external_id: Annotated[
        list[str] | None, typer.Option("--external-id", help="Name of an asset; may come several times.")
    ] = None,
    where: Annotated[str | None, typer.Option("--where", help="All that this filter matches.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose they are; alone: all that is kept of this tenant.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Name of the collection.", show_default=False)
    ] = None,
    all_collections: Annotated[
        bool, typer.Option("--all-collections", help="With --tenant alone: in every collection.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the receipt for good.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who asks: kept there, too.")] = "operator",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much it would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Erase for good: from every index, with bytes that nobody else has, and what names them. Exits 1 when something
    could not be looked for afterwards; the receipt says what."""
    keys = [*(asset or []), *(external_id or [])]
    everything = tenant is not None and not keys and where is None
    if not everything and all_collections:
        raise BadQuery("--all-collections goes with --tenant alone")
    if everything and (collection is None) != all_collections:
        raise BadQuery("say where: -c NAME, or --all-collections")
    chosen = collection if collection is not None or everything else "default"
    with _of_tenant(data, tenant) as quiver:

        def work(**how: Any) -> Erased:
            return quiver.erase(chosen, *keys, where=where, everything=everything, reason=reason, by=by, **how)

        if not yes or dry_run:
            planned = work(dry_run=True)
            if dry_run:
                _tell(planned, json)
                return
            _ask(planned)
        with _bar(quiet=json) as tell:
            done = work(on_progress=tell)
    _tell(done, json)
    if not done.verified:
        raise typer.Exit(1)


@contextmanager
def _of_tenant(data: Path | None, tenant: str | None) -> Iterator[Quiver]:
    if tenant is None:
        with opened(data) as quiver:
            yield quiver
    else:
        with Quiver.open(data, tenant=tenant) as quiver:
            yield quiver


def _ask(planned: Erased) -> None:
    if not sys.stdin.isatty():
        raise BadQuery(f"{planned.assets} assets would be erased for good: say --yes, or look with --dry-run first")
    what = f"{planned.assets} assets and {planned.points} points" if planned.assets else "what names no asset any more"
    typer.confirm(f"Erase {what} for good?", abort=True, err=True)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    if quiet:
        yield None
        return
    with Bar(console=err, transient=True) as bar:
        task = bar.add_task("erasing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(done: Erased, json: bool) -> None:
    if json:
        print_json({**_plain(done), "receipts": [each.as_dict() for each in done.receipts]})
        return
    out.print(_outcome(done), highlight=False)
    for name in done.unknown:
        err.print(shown(f"there is no asset {name!r}"), soft_wrap=True)
    _list(done.receipts)
    for each in done.receipts:
        for said in each.receipt["unchecked"]:
            err.print(shown(f"receipt {each.number}: {said}"), soft_wrap=True)


def _outcome(done: Erased) -> str:
    if done.assets:
        would = "would be erased" if done.dry_run else "erased for good"
        return f"{done.assets} assets, {done.points} points: {would}"
    if done.dry_run:
        return "no asset is there: nothing would be erased but what may name one"
    if not done.nothing:
        return "no asset was there: what named one is erased for good"
    said = ", and so the receipt says" if done.receipts else ""
    return f"nothing was there to erase: no asset, and nothing that names one{said}"


def _plain(done: Erased) -> dict[str, Any]:
    return {
        "assets": done.assets,
        "points": done.points,
        "unknown": list(done.unknown),
        "dry_run": done.dry_run,
        "nothing": done.nothing,
        "verified": done.verified,
    }


def _list(found: tuple[Erasure, ...] | list[Erasure]) -> None:
    if found:
        table(
            ["receipt", "at", "tenant", "collection", "assets", "verified", "by", "hash"],
            [
                [
                    each.number,
                    f"{each.at:%Y-%m-%d %H:%M:%S}",
                    each.tenant,
                    each.collection,
                    len(each.receipt["assets"]),
                    "yes" if each.receipt["verified"] else "in part",
                    each.receipt["by"],
                    each.hash[:12],
                ]
                for each in found
            ],
        )


@erasures.command("list")
def list_(
    after: Annotated[int, typer.Option("--after", help="The number of the last one seen.", min=0)] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.", min=1)] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """The receipts, by number. What --json prints may be kept elsewhere, and given to verify and replay."""
    with opened(data) as quiver:
        found = quiver.erasures(after=after, limit=limit)
    if json:
        print_json([each.as_dict() for each in found])
    else:
        _list(found)


@erasures.command("show")
def show(
    number: Annotated[int, typer.Argument(help="Its number.")],
    data: Data = None,
    json: Json = False,  # noqa: ARG001  # a receipt is JSON either way
) -> None:
    """One receipt with all that it says."""
    with opened(data) as quiver:
        print_json(quiver.erasure(number).as_dict())


@erasures.command("verify")
def verify(receipts: Receipts = None, data: Data = None, json: Json = False) -> None:
    """Whether the chain of receipts is as it was written, and holds those that were kept. Exits 1 when not."""
    kept = _read(receipts)
    with opened(data) as quiver:
        said = quiver.verify_erasures(kept)
    if json:
        print_json(
            {"ok": said.ok, "receipts": said.receipts, "hash": said.hash, "wrong": said.wrong, "open": said.open}
        )
    else:
        out.print(shown(f"{said.receipts} receipts, the last {said.hash or '-'}: {said.wrong or 'the chain holds'}"))
        if said.open:
            out.print(f"{said.open} erasures have begun and are not finished: the next sweep does it", highlight=False)
    if not said.ok:
        raise typer.Exit(1)


@erasures.command("replay")
def replay(receipts: Receipts = None, data: Data = None, json: Json = False) -> None:
    """Erase again whatever was erased and is there now: after an older copy was restored. Safe at any time."""
    kept = _read(receipts)
    with opened(data) as quiver:
        made = quiver.replay_erasures(kept)
    if json:
        print_json([each.as_dict() for each in made])
    else:
        out.print(f"{len(made)} erased again", highlight=False)
        _list(made)


def _read(path: Path | None) -> list[Erasure]:
    """A document as `--json` prints it, a list of receipts or one, or a line each. Raises NoSuchPath, BadQuery."""
    if path is None:
        return []
    try:
        text = path.read_text()
    except OSError as exc:
        raise NoSuchPath(f"{path}: {exc.strerror}") from exc
    try:
        try:
            said = js.loads(text)
        except js.JSONDecodeError:
            said = [js.loads(line) for line in text.splitlines() if line.strip()]
        if isinstance(said, dict):
            said = said.get("receipts", [said])
        return [Erasure.from_dict(each) for each in said]
    except (ValueError, KeyError, TypeError) as exc:
        raise BadQuery(f"{path} holds no receipts, as `quiver erasures list --json` prints them") from exc
