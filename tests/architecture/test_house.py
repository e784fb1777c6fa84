"""The house keeps its own rules: words, faults, documents and files are what the documents say they are."""

from __future__ import annotations

import ast
import configparser
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from core import errors
from core.errors import Fault
from core.runtime.settings import PREFIX, Settings
from scripts import write_docs

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "ingest", "retrieval", "workers", "quiver")
PRODUCT = (*ROOMS, "migrations")
PROGRAMS = ("benchmarks", "scripts", "tests")
MOST_LINES = 350
NOT_OURS = {"build", "dist", "quiver-data", "demo-data", "shared", "__pycache__"}


@cache
def repository() -> tuple[Path, ...]:
    """Every file of the repository, relative to its root; what git ignores is left out."""
    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in NOT_OURS and (f == ".ci" or f[0] != ".") and ".egg-info" not in f]
        found += [Path(folder, name).relative_to(ROOT) for name in files if not name.endswith(".pyc")]
    return tuple(sorted(path for path in found if path != Path(".git")))  # a file in a linked worktree


def modules(*rooms: str) -> list[Path]:
    """The Python files of these rooms."""
    return [path for path in repository() if path.suffix == ".py" and path.parts[0] in rooms]


@cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# Words and rooms


def words() -> list[Path]:
    return [path for path in modules("core") if len(path.parts) == 2 and path.stem != "__init__"]


def test_a_word_of_core_is_spoken_in_two_rooms() -> None:
    speakers: dict[str, set[str]] = {word.stem: set() for word in words()}
    for path in modules(*ROOMS):
        if path not in words():
            for name in imported(path):
                speakers.get(name.removeprefix("core."), set()).add(path.parts[0])
    assert not {word: rooms for word, rooms in speakers.items() if len(rooms) < 2}, "it belongs in that room"


def test_every_third_party_of_the_product_has_one_home() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    homes = [
        name
        for section in contracts.values()
        for name in re.findall(r"^\w+$", section.get("protected_modules", ""), re.MULTILINE)
        if name not in PRODUCT
    ]
    foreign = {name.partition(".")[0] for path in modules(*PRODUCT) for name in imported(path)}
    foreign -= {*sys.stdlib_module_names, *PRODUCT}
    assert sorted(homes) == sorted(foreign), "see the contracts of .importlinter"


def test_a_migration_imports_nothing_of_ours() -> None:
    versions = [path for path in modules("migrations") if path.parts[1] == "versions"]
    assert versions
    for path in versions:
        assert not {name.partition(".")[0] for name in imported(path)} & {*PRODUCT, *PROGRAMS}, path


# Files


def test_every_module_says_what_it_is() -> None:
    mute = [path for path in modules(*PRODUCT, *PROGRAMS) if not ast.get_docstring(ast.parse(text(path)))]
    assert not [path for path in mute if path.name != "__init__.py" or text(path)]


def test_every_module_is_short() -> None:
    long = {str(path): text(path).count("\n") for path in modules(*PRODUCT, *PROGRAMS)}
    assert not {path: lines for path, lines in long.items() if lines > MOST_LINES}, "divide it"


IGNORE = re.compile(r"#\s*(?:noqa(?:: ?[A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*)?|type: ignore(?:\[[\w, -]+\])?)")


def test_every_ignore_says_why() -> None:
    mute = []
    for path in modules(*PRODUCT, *PROGRAMS):
        for number, line in enumerate(text(path).splitlines(), start=1):
            found = list(IGNORE.finditer(line))
            if found and path != Path(__file__).relative_to(ROOT) and len(line[found[-1].end() :].strip(" #")) < 5:
                mute.append(f"{path}:{number}")
    assert not mute


# The pattern of a machine's own folders, and of places that packages come from: neither belongs to the product.
FOREIGN = re.compile(
    r"(?<![\w.:/-])/(?:home|root|Users|work|workspace)/[\w.-]+"
    r"|(?:pypi|pythonhosted)[.](?:org|io)|artifactor[y]|index[-]url|https?://[^\s/]*(?:pypi|registry|nexus|mirror)"
)


def test_the_repository_names_no_machine_and_no_registry() -> None:
    named = []
    for path in repository():
        try:
            named += [f"{path}: {found}" for found in FOREIGN.findall(text(path))]
        except UnicodeDecodeError:
            continue  # not a text
    assert not named


# Faults


def _faults() -> dict[str, type[Fault]]:
    return {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, Fault)}


def test_the_tree_of_faults_is_drawn_as_it_is() -> None:
    drawing = (errors.__doc__ or "").partition("\n\n")[2]
    drawn: dict[str, str] = {}
    branch = "Fault"
    for line in drawing.splitlines():
        names = re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", re.sub(r" {3,}.*$", "", line.lstrip("│├└─ ")))
        if re.match(r"[├└]", line):
            (branch,) = names
            drawn[branch] = "Fault"
        elif line.startswith("Fault"):
            drawn["Fault"] = "Exception"
        else:
            drawn |= dict.fromkeys(names, branch)
    assert drawn == {name: fault.__bases__[0].__name__ for name, fault in _faults().items()}


def test_every_fault_has_a_default_message() -> None:
    assert not [name for name, fault in _faults().items() if not vars(fault).get("__doc__")]


def test_every_fault_is_raised() -> None:
    product = "".join(text(path) for path in modules(*PRODUCT) if path != Path("core/errors.py"))
    leaves = [name for name, fault in _faults().items() if not fault.__subclasses__()]
    assert not [name for name in leaves if not re.search(rf"raise {name}\b|\b{name}\(", product)], "delete it"


# Documents


def documents() -> list[Path]:
    return [path for path in repository() if path.suffix == ".md"]


def test_relative_links_resolve() -> None:
    broken = []
    for page in documents():
        for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
            place = link.partition("#")[0]
            if place and not re.match(r"[a-z]+:", place) and not (ROOT / page.parent / place).exists():
                broken.append(f"{page} -> {link}")
    assert not broken


def test_the_architecture_names_what_is_there() -> None:
    page = text(Path("ARCHITECTURE.md"))
    assert page.count("\n") <= 110, "two screens: say less"
    said = set(re.findall(r"`([\w./]+(?:/|\.py))`", page))
    gone = {name for name in said if not (ROOT / name).exists()}
    assert not gone, "named and not there"
    packages = {path.parent for path in modules(*PRODUCT) if path.name == "__init__.py"}
    packages |= {Path(name) for name in PROGRAMS}
    unnamed = {f"{package}/" for package in packages} - said
    assert not unnamed, "there and not named"
    assert not {str(word) for word in words()} - said, "words not named"


def test_every_dependency_has_one_reason_and_every_reason_a_dependency() -> None:
    project = tomllib.loads(text(Path("pyproject.toml")))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = [re.split(r"[\[<>=!~; ]", wish)[0].lower() for wish in wanted]
    said = re.findall(r"^\| `([\w.-]+)` \|", text(Path("docs/dependencies.md")), re.MULTILINE)
    assert sorted(said) == sorted(name for name in names if name != project["name"])


@pytest.mark.parametrize("name", write_docs.PAGES)
def test_a_written_page_is_what_the_code_says(name: str) -> None:
    assert text(Path("docs", name)) == write_docs.PAGES[name](), "run python -m scripts.write_docs"


def test_every_setting_is_described() -> None:
    page = text(Path("docs/settings.md"))
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"`{write_docs.variables(name)[0]}`" in page


def test_every_command_and_parameter_has_help() -> None:
    mute = [name for name, command in write_docs.commands().items() if not command.help]
    mute += [
        f"{name} {parameter.name}"
        for name, command in write_docs.commands().items()
        for parameter in command.params
        if not parameter.help
    ]
    assert not mute


def test_every_variable_that_the_command_line_reads_is_a_setting() -> None:
    read = {p.envvar for command in write_docs.commands().values() for p in command.params if p.envvar}
    known = {variable for name in Settings.model_fields for variable in write_docs.variables(name)}
    assert not {name for name in read if name.startswith(PREFIX)} - known, "refused as unknown settings when set"
