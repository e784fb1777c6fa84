"""Quiver as an MCP server: what a client sees of its tools, in this process, over pipes and over HTTP."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent

from core.records import State
from quiver import Quiver
from quiver.plugins import mcp as plugin
from quiver.plugins.mcp import make_server
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving
from tests.integration.plugged import LAUNCH, PICTURES, PYTHON, ROOT, filled, picture
from tests.integration.test_cli import call as run_command

READS = {"search", "similar", "explain", "status", "asset"}
WRITES = {"add", "remove"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def quiver(data: Path) -> Iterator[Quiver]:
    with Quiver(toy_parts(data)) as opened:
        yield filled(opened)


def talk(server: Any, said: Callable[[Client], Awaitable[None]]) -> None:
    """A session of a client with a server."""

    async def session() -> None:
        async with Client(server) as client:
            await said(client)

    anyio.run(session)


def call(server: MCPServer[Any], tool: str, **arguments: Any) -> Any:
    """The structured result of a call that must succeed."""
    result = called(server, tool, **arguments)
    assert not result.is_error, result.content
    return result.structured_content


def fault(server: MCPServer[Any], tool: str, **arguments: Any) -> str:
    """What a call that must fail tells the model."""
    result = called(server, tool, **arguments)
    assert result.is_error
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def called(server: MCPServer[Any], tool: str, **arguments: Any) -> CallToolResult:
    results: list[CallToolResult] = []

    async def said(client: Client) -> None:
        results.append(await client.call_tool(tool, arguments))

    talk(server, said)
    return results[0]


def tools(server: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def said(client: Client) -> None:
        found.update({tool.name: tool for tool in (await client.list_tools()).tools})

    talk(server, said)
    return found


def names(found: Any) -> list[str]:
    return [hit["external_id"] for hit in found["hits"]]


def test_writing_tools_are_there_only_when_asked_for(quiver: Quiver) -> None:
    assert set(tools(make_server(quiver))) == READS
    assert set(tools(make_server(quiver, write=True))) == READS | WRITES
    assert "Unknown tool" in fault(make_server(quiver), "remove", collection="c", assets=["cat.txt"])
    assert quiver.show("c", "cat.txt").state is State.INDEXED


def test_tools_say_what_they_do_and_whether_they_change_anything(quiver: Quiver) -> None:
    for name, tool in tools(make_server(quiver, write=True)).items():
        assert tool.description
        assert tool.annotations.read_only_hint is (name in READS)
        assert "tenant" not in str(tool.input_schema).lower()
    assert tools(make_server(quiver))["search"].input_schema["required"] == ["collection", "query"]


def test_a_search_finds_by_words_filter_and_modality(quiver: Quiver) -> None:
    server = make_server(quiver)
    found = call(server, "search", collection="c", query="green rocket", modality="text", limit=2)
    assert names(found)[0] == "rocket.txt"
    assert len(found["hits"]) == 2
    hit = found["hits"][0]
    assert (hit["text"], hit["metadata"], hit["modality"]) == ("a green rocket", {"price": 3}, "text")
    assert hit["id"] == str(quiver.show("c", "rocket.txt").asset.id)
    assert set(names(call(server, "search", collection="c", query="red", where="price > 4"))) == set(PICTURES)


def test_what_is_similar_is_found_by_name_or_id(quiver: Quiver) -> None:
    server = make_server(quiver)
    asked = {"collection": "c", "limit": 2, "modality": "text"}
    by_name = call(server, "similar", asset="red.png", **asked)
    assert set(names(by_name)) == {"cat.txt", "coffee.txt"}
    assert call(server, "similar", asset=str(quiver.show("c", "red.png").asset.id), **asked) == by_name
    assert "red.png" not in names(call(server, "similar", collection="c", asset="red.png"))


def test_an_explanation_gives_scores_ranks_and_passages_of_each_space(quiver: Quiver) -> None:
    told = call(make_server(quiver), "explain", collection="c", query="green rocket", modality="text", limit=1)
    matches = {match["space"]: match for match in told["hits"][0]["matches"]}
    assert set(matches) == {"colour", "words"}
    assert told["encoders"] == {"colour": "toy", "words": "toy"}
    assert matches["words"]["score"] == 2.0
    assert all(match["rank"] == 1 for match in matches.values())
    assert matches["colour"]["span"] == {"start": 0, "end": 14, "unit": "char"}


def test_status_names_collections_fields_and_counts(quiver: Quiver) -> None:
    server = make_server(quiver)
    [told] = call(server, "status")["collections"]
    assert (told["name"], told["fields"], told["assets"]["indexed"]) == ("c", {"price": "integer"}, 6)
    assert call(server, "status", collection="c")["collections"] == [told]


def test_an_asset_is_shown_with_its_state_and_failure_and_no_path_of_ours(quiver: Quiver, data: Path) -> None:
    quiver.add("c", text="poison", id="bad")
    server = make_server(quiver)
    good = call(server, "asset", collection="c", asset="cat.txt")
    assert (good["state"], good["failure"], good["bytes"]) == ("indexed", None, 9)
    bad = call(server, "asset", collection="c", asset="bad")
    assert (bad["state"], bad["failure"]["kind"]) == ("failed", "EncoderBroke")
    assert str(data) not in str(good)


def test_a_fault_tells_the_model_what_is_wrong_and_what_to_do(quiver: Quiver) -> None:
    server = make_server(quiver, write=True)
    assert "BadFilter" in fault(server, "search", collection="c", query="red", where="colour = red")
    assert "price" in fault(server, "search", collection="c", query="red", where="colour = red")
    assert "NoSuchCollection" in fault(server, "search", collection="nowhere", query="red")
    assert "NoSuchAsset" in fault(server, "similar", collection="c", asset="nobody")
    assert "BadQuery" in fault(server, "search", collection="c", query="red", limit=5000)
    assert "BadQuery" in fault(server, "add", collection="c")
    assert "base64" in fault(server, "add", collection="c", data="no base64!")
    assert "modality" in fault(server, "search", collection="c", query="red", modality="smell")


def test_what_is_added_is_found_and_what_is_removed_is_not(quiver: Quiver) -> None:
    server = make_server(quiver, write=True)
    added = call(server, "add", collection="c", text="a green dog", id="new", metadata={"price": 9})
    assert (added["outcome"], added["state"], added["external_id"]) == ("added", "indexed", "new")
    shot = base64.b64encode(picture((0, 255, 0))).decode()
    assert call(server, "add", collection="c", data=shot, id="green.png")["modality"] == "image"
    assert set(names(call(server, "search", collection="c", query="green", limit=3))) >= {"green.png"}
    assert names(call(server, "search", collection="c", query="green dog", where="price = 9")) == ["new"]
    done = call(server, "remove", collection="c", assets=["new", added["id"], "nobody"])
    assert done["removed"] == 1
    assert "nobody" in done["unknown"]
    assert names(call(server, "search", collection="c", query="green dog", where="price = 9")) == []


def test_what_workers_have_not_reached_is_said_to_wait(quiver: Quiver, monkeypatch: pytest.MonkeyPatch) -> None:
    quiver._woken = lambda: None  # workers, that are told and do nothing
    monkeypatch.setattr(plugin, "PATIENCE", 0.0)
    added = call(make_server(quiver, write=True), "add", collection="c", text="a green dog", id="new")
    assert (added["outcome"], added["state"]) == ("added", "pending")


def test_another_tenants_assets_are_never_returned(data: Path) -> None:
    with Quiver(toy_parts(data, tenant="ann")) as ann:
        hers = str(filled(ann).show("c", "cat.txt").asset.id)
    with Quiver(toy_parts(data, tenant="bob")) as bob:
        bob.add("c", text="a red dog", id="mine")
        server = make_server(bob, write=True)
        for tool in ("search", "explain"):
            assert names(call(server, tool, collection="c", query="red cat")) == ["mine"]
        for key in ("cat.txt", hers):
            assert "NoSuchAsset" in fault(server, "similar", collection="c", asset=key)
            assert "NoSuchAsset" in fault(server, "asset", collection="c", asset=key)
            assert call(server, "remove", collection="c", assets=[key])["removed"] == 0
        assert call(server, "status")["collections"][0]["assets"]["indexed"] == 1
    with Quiver(toy_parts(data, tenant="ann")) as ann:
        assert ann.show("c", "cat.txt").state is State.INDEXED


def test_the_command_speaks_over_pipes(data: Path) -> None:
    with Quiver(toy_parts(data)) as quiver:
        filled(quiver)

    async def reads(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == READS
        result = await client.call_tool("search", {"collection": "c", "query": "green rocket", "modality": "text"})
        assert names(result.structured_content)[0] == "rocket.txt"

    async def writes(client: Client) -> None:
        shot = base64.b64encode(picture((0, 255, 0))).decode()
        result = await client.call_tool("add", {"collection": "c", "data": shot, "id": "new.png"})
        assert not result.is_error, result.content

    for said, flags in ((reads, []), (writes, ["--write"])):
        command = StdioServerParameters(
            command=PYTHON, args=[*LAUNCH, "mcp", "--data", str(data), *flags], cwd=ROOT, env={"QUIVER_LANES": "1"}
        )
        talk(stdio_client(command), said)
    with Quiver(toy_parts(data)) as quiver:  # the command has let go of the folder
        assert quiver.content("c", "new.png") == picture((0, 255, 0))


def test_the_command_speaks_over_http_to_this_machine_alone(data: Path) -> None:
    with Quiver(toy_parts(data)) as quiver:
        filled(quiver)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHON, *LAUNCH, "mcp", "--transport", "http", "--port", str(port), "--data", str(data)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}/mcp"
            until = time.monotonic() + 60
            while True:
                try:
                    strange = httpx.post(address, headers={"Host": "evil.example"}, json={}, trust_env=False)
                    break
                except httpx.ConnectError:
                    assert server.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.05)
            assert strange.status_code == 421  # a page in a browser cannot reach it by another name

            async def said(client: Client) -> None:
                assert {tool.name for tool in (await client.list_tools()).tools} == READS
                result = await client.call_tool("search", {"collection": "c", "query": "rocket", "modality": "text"})
                assert names(result.structured_content)[0] == "rocket.txt"

            talk(address, said)
        finally:
            server.terminate()
    assert server.returncode is not None


def test_the_command_serves_what_an_api_key_sees_of_a_server(data: Path) -> None:
    with closing(toy_parts(data, tenant="ann")) as parts, serving(parts) as url:
        keys = {tenant: key_for(parts, tenant) for tenant in ("ann", "bob")}
        with RemoteQuiver(url, keys["ann"]) as ann:
            filled(ann, "hers")

        async def hers(client: Client) -> None:
            result = await client.call_tool("search", {"collection": "hers", "query": "rocket", "modality": "text"})
            assert names(result.structured_content)[0] == "rocket.txt"
            added = await client.call_tool("add", {"collection": "hers", "text": "a green dog", "id": "new"})
            assert added.structured_content is not None
            assert added.structured_content["state"] == "indexed"

        async def his(client: Client) -> None:
            result = await client.call_tool("search", {"collection": "hers", "query": "rocket"})
            assert result.is_error
            assert "NoSuchCollection" in str(result.content)

        for tenant, said in (("ann", hers), ("bob", his)):
            args = [*LAUNCH, "mcp", "--write", "--url", url, "--key-from", "THE_KEY"]
            command = StdioServerParameters(command=PYTHON, args=args, cwd=ROOT, env={"THE_KEY": keys[tenant]})
            talk(stdio_client(command), said)


def test_a_variable_without_a_key_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_command(monkeypatch, capsys, "mcp", "--url", "http://127.0.0.1:1", "--key-from", "NO_KEY")
    assert ran.status == 3
    assert "NO_KEY holds no API key" in ran.err
