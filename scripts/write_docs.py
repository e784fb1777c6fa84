"""Writes docs/settings.md, docs/cli.md and docs/openapi.json from the code that they describe.

    python -m scripts.write_docs [--check]

With --check nothing is written, and the exit status is 1 when a page is not what the code says.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
from pydantic import AliasChoices, SecretStr

import quiver.cli
from core.runtime.settings import PREFIX, Settings
from core.runtime.wiring import open_parts
from quiver.cli.app import STATUS, app

DOCS = Path(__file__).resolve().parent.parent / "docs"
WRITTEN = "<!-- Written by `python -m scripts.write_docs`: change the code, not this page. -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table; a bar inside a cell is escaped."""
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def variables(name: str) -> list[str]:
    """The environment variables that set a field of Settings, the first one first asked."""
    alias = Settings.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [PREFIX + name.upper()]
    return [str(choice) for choice in choices if str(choice).isupper()]


def _bounds(metadata: Sequence[Any]) -> str:
    said = ((sign, getattr(bound, name, None)) for bound in metadata for name, sign in _SIGNS)
    return ", ".join(f"{sign} {limit:,}" for sign, limit in said if limit is not None)


_SIGNS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def settings_page() -> str:
    """docs/settings.md."""
    rows = []
    for name, field in Settings.model_fields.items():
        first, *others = variables(name)
        notes = [field.description or ""]
        notes += [f"Also read: {', '.join(f'`{other}`' for other in others)}."] if others else []
        notes += ["A secret: never printed."] if "SecretStr" in str(field.annotation) else []
        default = "" if field.default is None or isinstance(field.default, SecretStr) else f"`{field.default}`"
        rows.append([f"`{first}`", default, _bounds(field.metadata), ". ".join(n.rstrip(".") for n in notes) + "."])
    return "\n".join(
        [
            "# Settings",
            "",
            WRITTEN,
            "",
            "Settings come from the environment, and from keyword arguments of `Quiver.open`, which win. Their names",
            f"there are the same in small letters without `{PREFIX}`. A variable that begins with `{PREFIX}` and is no",
            "setting is an error, so that a misspelt one is not passed over in silence.",
            "",
            *table(["variable", "default", "bounds", "what it is"], rows),
            "",
        ]
    )


def commands() -> dict[str, Any]:
    """Every command of `quiver` by name, as typer built it."""
    for module in pkgutil.iter_modules(quiver.cli.__path__):
        importlib.import_module(f"quiver.cli.{module.name}")  # each adds its commands to the app
    found: dict[str, Any] = {}
    open_groups: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while open_groups:
        prefix, group = open_groups.pop()
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                open_groups.append((f"{prefix}{name} ", command))
            else:
                found[f"{prefix}{name}"] = command
    return dict(sorted(found.items()))


def _written(parameter: Any) -> str:
    """How a parameter is written on the command line."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}`"
    return ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])


def _notes(parameter: Any) -> str:
    notes = [(parameter.help or "").rstrip(".")]
    notes += ["Required"] if parameter.required else []
    notes += ["Can be repeated"] if getattr(parameter, "multiple", False) else []
    if parameter.default is not None and parameter.default is not False:
        notes += [f"Default: `{parameter.default}`"]
    if parameter.envvar:
        notes += [f"Variable: `{parameter.envvar}`"]
    return ". ".join(notes) + "."


def cli_page() -> str:
    """docs/cli.md."""
    lines = ["# Command line", "", WRITTEN, "", (app.info.help or "").strip(), ""]
    for name, command in commands().items():
        usage = [p for p in command.params if p.param_type_name == "argument"]
        words = [p.name.upper() if p.required else f"[{p.name.upper()}]" for p in usage]
        words = [f"{word}…" if p.nargs == -1 else word for word, p in zip(words, usage, strict=True)]
        lines += [
            f"## quiver {name}",
            "",
            command.help or "",
            "",
            f"    quiver {' '.join([name, '[OPTIONS]', *words])}",
        ]
        rows = [[_written(p), _notes(p)] for p in command.params if p.name != "help"]
        lines += ["", *(table(["parameter", "what it does"], rows) if rows else ["It has no parameters."]), ""]
    lines += ["## Exit status", ""]
    lines += table(
        ["status", "meaning"],
        [
            ["0", "Done."],
            ["1", "Done, but some items were not: they are listed."],
            *([str(code), f"{kind.__name__}: {kind.__doc__}"] for kind, code in STATUS.items()),
        ],
    )
    return "\n".join([*lines, ""])


def openapi_page() -> str:
    """docs/openapi.json."""
    from quiver.http.app import make_app

    with TemporaryDirectory() as folder:
        said = make_app(open_parts(data=Path(folder))).openapi()
    return json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


PAGES = {"settings.md": settings_page, "cli.md": cli_page, "openapi.json": openapi_page}


def main() -> int:
    """Write the pages, or with --check say which are out of date."""
    stale = [name for name, page in PAGES.items() if not _same(DOCS / name, page())]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is not what the code says: run python -m scripts.write_docs")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} written")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
