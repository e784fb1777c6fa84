"""The page about reranking: its plug-in runs as printed and keeps every promise, its tables are the code's."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from core.errors import BadModel, BadQuery, MissingExtra
from core.types import AssetId
from quiver import Quiver
from quiver.ranking_checks import LIMIT
from quiver.testing import check_reranker
from retrieval.request import Hit
from tests.doubles import toy_parts
from workers import staging

PAGE = (Path(__file__).parents[2] / "docs" / "reranking.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TEXTS = {"a": "red", "b": "red red red red", "c": "red blue", "d": "green"}


@pytest.fixture(scope="module")
def quiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quiver]:
    parts = toy_parts(tmp_path_factory.mktemp("data"))
    made = Quiver(parts)
    made.create("photos", fields={"price": "float"})
    made.add_texts("photos", [(name, text, {"price": 1.0}) for name, text in TEXTS.items()])
    made.wait("photos", timeout=30)
    yield made
    made.close()


def installed(monkeypatch: pytest.MonkeyPatch, **stages: str) -> None:
    """As if a package with these entry points were installed."""
    held = [EntryPoint(name, value, staging.GROUP) for name, value in stages.items()]

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [one for one in held if group == one.group and name in (None, one.name)]

    monkeypatch.setattr(staging, "entry_points", entry_points)


def module(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    made = ModuleType("my_package")
    exec(code, made.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", made)


def test_the_plug_in_of_the_page_has_ten_lines_and_keeps_every_promise(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 10
    module(monkeypatch, EXAMPLES[0])
    said = re.search(r'longest = "(.*)"', PAGE)
    assert said is not None
    installed(monkeypatch, longest=said[1])
    assert "longest" in staging.stage_names()
    assert quiver.search("photos", "red", rerank=["longest"]).hits[0].external_id == "b"
    exec(EXAMPLES[1], {"quiver": quiver})


@pytest.mark.parametrize("spec", ["exact", "late", "mmr", "boost:field=price"])
def test_stages_of_this_project_keep_the_promises_of_stages(quiver: Quiver, spec: str) -> None:
    check_reranker(quiver, "photos", spec, "red")


BROKEN: dict[str, tuple[str, Any]] = {
    "twice": ("came twice", lambda hits: [*hits, *hits[:1]]),
    "rising": ("scores fall, or stay", lambda hits: hits[::-1]),
    "touching": ("was changed", lambda hits: [hit for hit in hits if not hit.metadata.update(seen=1)]),
    "needy": ("one hit, and none at all, are taken", lambda hits: [hits[0], *hits[1:]]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stage_that_breaks_a_promise_is_told_which(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said, does = BROKEN[name]

    class Stage:
        depth = 0

        def rerank(self, hits: list[Hit], _: Any) -> Any:
            return does(hits)

    Stage.name = name  # type: ignore[attr-defined]  # as a plug-in writes it
    module(monkeypatch, "")
    monkeypatch.setattr(sys.modules["my_package"], "make", lambda *_: Stage(), raising=False)
    installed(monkeypatch, **{name: "my_package:make"})
    with pytest.raises(AssertionError, match=said):
        check_reranker(quiver, "photos", name, "red")


@pytest.mark.parametrize("found", [1, LIMIT + 1])
def test_a_stage_is_not_tried_where_too_few_or_too_many_are_found(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch, found: int
) -> None:
    [first, *_] = quiver.search("photos", "red").hits
    every = [replace(first, asset=AssetId(UUID(int=n))) for n in range(found)]
    search = quiver.search

    def many(*asked: Any, limit: int, **more: Any) -> Any:
        return replace(search(*asked, limit=limit, **more), hits=tuple(every[:limit]))

    monkeypatch.setattr(quiver, "search", many)
    said = "more than 100" if found > 1 else "1"
    with pytest.raises(AssertionError, match=f"^'red' finds {said} assets of 'photos': .* of 2 to 100 assets$"):
        check_reranker(quiver, "photos", "exact", "red")


def test_what_a_plug_in_lacks_is_named_and_so_are_the_stages_there_are(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, lost="not_installed_anywhere:make")
    with pytest.raises(MissingExtra, match="not_installed_anywhere"):
        quiver.search("photos", "red", rerank=["lost"])
    with pytest.raises(BadQuery, match="there is: boost, cross-encoder, exact, late, lost, mmr, recency"):
        quiver.search("photos", "red", rerank=["nothing"])


NO_STAGE: dict[str, tuple[str, str]] = {
    "broken": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "raising": ("def make(*_): return {}['depth']", "KeyError: 'depth'"),
    "none": ("def make(*_): return None", "it makes NoneType, which has no name, depth from 0 on, and rerank"),
    "silent": ("class make:\n    depth = 0\n    def __init__(self, *_): pass", "it makes make, which has no name"),
    "deaf": ("class make:\n    name, depth = 'deaf', 9\n    def __init__(self, *_): pass", "no attribute 'rerank'"),
    "below": (
        "class make:\n    name, depth, rerank = 'b', -1, print\n    def __init__(self, *_): pass",
        "depth from 0",
    ),
    "nameless": ("", "has no attribute 'make'"),
}


@pytest.mark.parametrize("how", NO_STAGE)
def test_a_package_that_makes_no_stage_is_named(
    quiver: Quiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    code, words = NO_STAGE[how]
    (tmp_path / f"made_{how}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    installed(monkeypatch, mine=f"made_{how}:make")
    with pytest.raises(BadModel) as caught:
        quiver.search("photos", "red", rerank=["mine"])
    assert f"stage 'mine': its plug-in made_{how}:make cannot be used" in str(caught.value)
    assert words in str(caught.value)


def test_the_page_has_every_stage_and_every_option() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert rows.keys() == staging.BUILT_IN.keys()
    assert {name for name in ("model", "depth", "weight", "passages") if f"`{name}" in rows["cross-encoder"]} == {
        "model",
        "depth",
        "weight",
        "passages",
    }
