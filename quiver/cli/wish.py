"""The options that say what a reindexing is to change, for the commands that take them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from typing import Annotated, Any

import typer


def _wish(
    *,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Whose encoders: see `quiver models`.", show_default=False)
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            help="Only this space of the profile; may be given again. Else as now, or all of another profile.",
        ),
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option("--field", "-f", help="name=type, to be declared or changed.")
    ] = None,
    drop_field: Annotated[
        list[str] | None, typer.Option("--drop-field", help="A field that is declared no more.")
    ] = None,
    quantization: Annotated[
        str | None, typer.Option("--quantization", help="none|scalar|turbo|binary", show_default=False)
    ] = None,
    m: Annotated[
        int | None, typer.Option("--m", help="Neighbours of a point in the graph.", show_default=False)
    ] = None,
    ef_construct: Annotated[
        int | None, typer.Option("--ef-construct", help="Candidates for them.", show_default=False)
    ] = None,
    on_disk: Annotated[
        bool | None, typer.Option("--on-disk/--in-memory", help="Where full vectors are kept.", show_default=False)
    ] = None,
) -> dict[str, Any]:
    storage = {"quantization": quantization, "m": m, "ef_construct": ef_construct, "on_disk": on_disk}
    said = {name: value for name, value in storage.items() if value is not None}
    return {
        "profile": profile,
        "spaces": space or None,
        "fields": field,
        "drop_fields": drop_field or (),
        "storage": said or None,
    }


def wishing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, after its first argument, and as its argument `wish` what the facade takes."""
    options = signature(_wish, eval_str=True).parameters
    first, *others = signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(**said: Any) -> None:
        wish = _wish(**{name: said.pop(name) for name in options})
        command(wish=wish, **said)

    taken = [first, *options.values(), *(one for one in others if one.name != "wish")]
    taken = [one.replace(kind=one.KEYWORD_ONLY) for one in taken]
    run.__signature__ = Signature(taken)  # type: ignore[attr-defined]  # what inspect, and so typer, reads
    run.__annotations__ = {one.name: one.annotation for one in taken}
    return run
