"""`quiver keys`: API keys, made and taken back by who runs the installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from core.desk import ApiKey, Quota, Role
from core.runtime.wiring import Parts, open_parts
from quiver.cli.app import Data, Json, app
from quiver.cli.failures import age
from quiver.cli.render import err, out, print_json, shown, table
from workers.keys import Issued, issue, listing, revoke, rotate, tenant_named

keys = typer.Typer(help="API keys of `quiver serve`: create, list, rotate, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")

ROLES = ", ".join(Role)
Id = Annotated[str, typer.Argument(help="Id of the key, as `quiver keys list` shows it.")]


@contextmanager
def _parts(data: Path | None) -> Iterator[Parts]:
    parts = open_parts(data=data)
    try:
        yield parts
    finally:
        parts.close()


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", envvar="QUIVER_TENANT", help="Whose assets it is for.", show_default=False),
    ] = None,
    role: Annotated[
        list[Role] | None, typer.Option("--role", help=f"What its holder may do: {ROLES}. reader when none is said.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it ends: 12h, 90d. Never when not said.")
    ] = None,
    queries_per_second: Annotated[
        float | None, typer.Option("--queries-per-second", help="0: without limit; as the settings say when not said.")
    ] = None,
    assets_per_day: Annotated[int | None, typer.Option("--assets-per-day", help="The same, of what it adds.")] = None,
    bytes_per_day: Annotated[int | None, typer.Option("--bytes-per-day", help="The same, of what it sends.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a key. Its secret is printed, alone on standard output, this once."""
    quota = Quota(queries_per_second=queries_per_second, assets_per_day=assets_per_day, bytes_per_day=bytes_per_day)
    with _parts(data) as parts:
        made = issue(
            parts,
            parts.settings.tenant if tenant is None else tenant,
            name,
            role or [Role.READER],
            quota=quota,
            lifetime=age(expires),
            operator=True,
        )
    _tell(made, json)


@keys.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Of this tenant alone; without it all.", show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """The keys that there are, by age, without their secrets. What was revoked is gone."""
    with _parts(data) as parts:
        found = listing(parts, None if tenant is None else tenant_named(tenant))
    if json:
        print_json([_plain(key) for key in found])
        return
    columns = ["id", "tenant", "name", "roles", "queries a second", "assets a day", "bytes a day", "created", "expires"]
    table(
        columns,
        [
            [
                key.id,
                key.tenant,
                key.name,
                ", ".join(sorted(key.roles)),
                _limit(key.quota.queries_per_second),
                _limit(key.quota.assets_per_day),
                _limit(key.quota.bytes_per_day),
                f"{key.created_at:%Y-%m-%d %H:%M}",
                _end(key),
            ]
            for key in found
        ],
    )


@keys.command("rotate")
def rotate_(
    key: Id,
    grace: Annotated[str, typer.Option("--grace", help="How long the old one is taken still: 0s, 15m, 2h, 7d.")] = "1h",
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a key with the same rights and end, and let the old one expire. The new secret is printed this once."""
    with _parts(data) as parts:
        made = rotate(parts, key, None, grace=age(grace) or timedelta(0), operator=True)
    _tell(made, json)


@keys.command("revoke")
def revoke_(key: Id, data: Data = None, json: Json = False) -> None:
    """Refuse a key from now on."""
    with _parts(data) as parts:
        revoke(parts, key, None)
    if json:
        print_json({"revoked": key})
    else:
        out.print(f"{key} is refused from now on", highlight=False)


def _tell(made: Issued, json: bool) -> None:
    if json:
        print_json({"key": _plain(made.key), "secret": made.secret})
        return
    key = made.key
    line = f"key {key.id} of {key.tenant}: {key.name} ({', '.join(sorted(key.roles))}), expires {_end(key)}"
    err.print(shown(line), soft_wrap=True)
    err.print("Its secret follows. Keep it now: it is not shown again.", highlight=False, soft_wrap=True)
    out.out(made.secret, highlight=False)


def _plain(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "roles": sorted(key.roles),
        "quota": key.quota,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def _limit(said: float | None) -> str:
    if said is None:
        return "as set"
    return f"{said:,}" if said else "no limit"


def _end(key: ApiKey) -> str:
    return f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never"
