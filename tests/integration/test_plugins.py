"""What holds for every plug-in: it says which extra it needs, and its examples run as they are printed."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from llama_index.core.schema import ImageNode
from mcp import Client, StdioServerParameters, stdio_client

from core.encoders import registry
from core.errors import Refused
from quiver import Quiver
from quiver.plugins import llamaindex
from quiver.plugins.door import Door
from quiver.plugins.langchain import QuiverVectorStore
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving
from tests.integration.plugged import LAUNCH, PICTURES, PYTHON, ROOT, filled, picture, without
from tests.integration.test_cli import Toy

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXTRAS = {
    "langchain": "langchain_core",
    "llamaindex": "llama_index",
    "haystack": "haystack",
    "mcp": "mcp",
}


def blocks(language: str) -> list[str]:
    """The examples of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("extra", "package"), EXTRAS.items())
def test_a_plug_in_without_its_package_says_what_to_install(extra: str, package: str) -> None:
    program = without(package, f"quiver.plugins.{extra}")
    ran = subprocess.run([PYTHON, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].startswith("core.errors.MissingExtra: ")
    assert f"pip install 'quiver[{extra}]'" in ran.stderr


def test_the_command_without_its_package_is_one_line_and_a_status() -> None:
    program = (
        "import sys; sys.modules['mcp'] = None; from quiver.cli.app import main; sys.argv = ['quiver', 'mcp']; main()"
    )
    ran = subprocess.run([PYTHON, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "MissingExtra: MCP is not installed: pip install 'quiver[mcp]'\n"


def test_a_connection_to_a_server_is_a_door_like_an_open_folder(tmp_path: Path) -> None:
    with (
        closing(toy_parts(tmp_path / "data", tenant="ann")) as parts,
        serving(parts) as url,
        RemoteQuiver(url, key_for(parts, "ann")) as ann,
    ):
        assert isinstance(ann, Door)
        filled(ann)
        store = QuiverVectorStore(ann, "c")
        text = "a blue rocket. " * 100
        assert store.add_texts([text], [{"price": 9}], ids=["new"]) == ["new"]
        [document] = store.similarity_search("blue rocket", k=1, where="price = 9")
        span = document.metadata["_span"]
        assert document.page_content == text[span["start"] : span["end"]]
        assert len(document.page_content) > 500  # more than a hit quotes
        assert [each.page_content for each in store.get_by_ids(["new"])] == [text]
        with pytest.raises(Refused, match="'bad' was not indexed"):
            store.add_texts(["poison"], ids=["bad"])
        assert store.delete(["new", "bad", "nobody"])
        assert store.get_by_ids(["new"]) == []
        [found] = llamaindex.QuiverRetriever(ann, "c", k=1, modality="image").retrieve("red")
        assert isinstance(found.node, ImageNode)
        assert base64.b64decode(found.node.image or "") == picture(PICTURES["red.png"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run examples in, with the toy encoders and the assets that the page begins with."""
    monkeypatch.setattr(registry, "families", lambda: {"toy": Toy()})
    monkeypatch.setenv("QUIVER_PROFILE", "toy")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")
    monkeypatch.chdir(tmp_path)
    run(blocks("python")[0])
    return tmp_path


def run(example: str) -> None:
    exec(compile(example, "docs/plugins.md", "exec"), {"__name__": "__main__"})


def test_every_extra_has_an_example() -> None:
    for extra in EXTRAS:
        assert f"quiver[{extra}]" in PAGE
        assert f"quiver.plugins.{extra}" in PAGE or f"quiver {extra}" in PAGE


@pytest.mark.parametrize("number", range(1, len(blocks("python"))))
def test_an_example_prints_what_it_says(number: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = blocks("python")[number]
    promised = re.findall(r"# > (.*)", example)
    assert promised
    capsys.readouterr()
    run(example)
    assert capsys.readouterr().out.splitlines() == promised


def test_the_configuration_of_an_mcp_client_starts_our_server(place: Path) -> None:
    [config] = blocks("json")
    ours: dict[str, Any] = json.loads(config)["mcpServers"]["quiver"]
    assert ours["command"] == "quiver"
    args = [str(place / "quiver-data") if "/" in word else word for word in ours["args"]]
    said: list[str] = []

    async def session() -> None:
        command = StdioServerParameters(command=PYTHON, args=[*LAUNCH, *args], cwd=ROOT)
        async with Client(stdio_client(command)) as client:
            found = await client.call_tool("search", {"collection": "shelf", "query": "red cat", "limit": 1})
            assert found.structured_content is not None
            said.append(found.structured_content["hits"][0]["text"])

    anyio.run(session)
    with Quiver.open(place / "quiver-data") as quiver:
        assert said == [quiver.search("shelf", "red cat", limit=1).hits[0].text]
