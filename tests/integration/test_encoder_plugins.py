"""The page about encoders: its examples run as printed, its tables are the code's, its commands do as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.encoders import registry
from core.encoders.families import FAMILIES
from core.encoders.profiles import PROFILES
from core.encoders.registry import Encoders
from quiver import Quiver
from quiver.testing import check_encoder
from tests.checkpoints import build
from tests.doubles import toy_parts
from tests.hub import COMMIT, Repository, serving
from tests.integration.test_cli import Run, call, use_toy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's plug-in, as if its package were installed."""
    module = ModuleType("my_package")
    exec(examples()[0], module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", module)
    found = re.search(r'letters = "(.*)"', PAGE)
    assert found is not None
    there = registry.families() | {"letters": EntryPoint("letters", found[1], registry.GROUP)}
    monkeypatch.setattr(registry, "families", lambda: there)


def test_the_plug_in_of_the_page_has_ten_lines_and_keeps_every_promise() -> None:
    body = re.search(r"class Letters:.*", examples()[0], re.DOTALL)
    assert body is not None
    assert len([line for line in body[0].splitlines() if line.strip()]) <= 10
    said: dict[str, Any] = {}
    for code in examples():
        exec(code, said)
    check_encoder(said["Letters"]())


@pytest.mark.usefixtures("letters")
def test_a_collection_is_made_and_searched_with_it(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    quiver = Quiver(parts)
    quiver.create("c", profile="letters")
    quiver.add_texts("c", [("a", "aaaa", {}), ("b", "bbbb", {})])
    quiver.wait("c", timeout=20)
    assert [hit.external_id for hit in quiver.search("c", "aab").hits] == ["a", "b"]
    assert {found.broken for found in quiver.check("letters")["letters"].promises} == {""}
    assert "letters" in {each.name for each in quiver.models()}
    quiver.close()


def test_the_page_lists_the_profiles_and_families_that_there_are() -> None:
    table = dict(re.findall(r"^\| `([\w-]+)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert table.keys() == PROFILES.keys()
    assert all(f"`{row.model}`" in table[name] for name, row in PROFILES.items() if row.model)
    families = PAGE[PAGE.index("## Families") : PAGE.index("## The hub")]
    rows = [line.split("|")[2] for line in families.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`([\w-]+)`", "".join(rows[1:])))
    assert named == FAMILIES.keys()


def test_the_profile_of_a_collection_is_a_hub_model_that_is_downloaded_once(tmp_path: Path) -> None:
    """In processes of its own, as a user does it: the hub's address is read when they start."""
    with serving() as hub:
        hub.repositories["some/text"] = Repository.of(build(tmp_path / "bert", "bert"))
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        environment |= {"TQDM_POSITION": "-1"}  # a bar without a terminal

        def quiver(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
            command = [
                sys.executable,
                "-c",
                "from quiver.cli.app import main; main()",
                *words,
                "--data",
                str(tmp_path / "data"),
            ]
            env = os.environ | environment | more
            return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT)

        pulled = quiver("models", "pull", "hf:some/text", "--json")
        assert json.loads(pulled.stdout) == [f"some/text at {COMMIT}"]
        assert "100%" in pulled.stderr
        checked = quiver("models", "check", "hf:some/text", "--json", HF_HUB_OFFLINE="1")
        assert checked.returncode == 0, checked.stderr
        assert {each["broken"] for each in json.loads(checked.stdout)["text"]["promises"]} == {""}
        assert json.loads(checked.stdout)["text"]["how"].keys() == {"texts"}
        assert hub.asked.count("model.safetensors") == 1


def test_profiles_are_listed_pulled_and_checked_by_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {each["name"]: each for each in run("models", "list", "--json").json}
    assert listed.keys() >= {*PROFILES, "toy"}
    assert listed["packaged"]["here"]
    assert "siglip2" in run("models", "list").out
    assert "nothing to download" in run("models", "pull", "toy").out
    assert run("models", "pull", "nobody").status == 3
    broken = run("models", "check", "toy", "--json")
    assert {each["broken"] for each in broken.json["words"]["promises"] if "different" not in each["promise"]} == {""}
    assert run("models", "check", "toy").status == broken.status


def test_a_check_tells_by_which_way_each_tower_is_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("QUIVER_DATA", str(tmp_path / "data"))
    check = ("models", "check", f"hf:{build(tmp_path / 'clip', 'clip')}")
    how = call(monkeypatch, capsys, *check, "--json").json["clip"]["how"]
    assert how.keys() == {"texts", "images"}
    shown = call(monkeypatch, capsys, *check).out
    assert all(f"clip, {tower}: {said}" in shown for tower, said in how.items())


def test_an_encoder_of_the_installation_is_found_by_its_entry_point() -> None:
    assert {"packaged", "clip", "hf"} <= registry.families().keys()
    assert [e.space.name for e in Encoders().of_profile("packaged")] == ["concept", "visual", "concepts"]
