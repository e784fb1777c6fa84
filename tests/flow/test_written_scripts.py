"""The scripts of docs/admin.md that export, back up and move do what the page says, as they are written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from core.records import State
from core.stores.memory import MemoryStore
from core.stores.server import ServerStore
from quiver import Quiver
from tests.contract.catalogues import emptied
from tests.doubles import toy_parts
from tests.worlds import RED, World
from workers.reconcile import reconcile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "admin.md"
Stores = dict[str, Any]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> Stores:
    """What is opened by name: a data folder with two assets in it, and servers."""
    emptied(postgres_url)
    world = World(tmp_path / "made")
    world.add({"cat": "a red cat", "red.png": RED})
    Quiver(world.parts).backup(tmp_path / "given")
    world.parts.close()
    held: Stores = {"quiver-data": MemoryStore(), "server-data": ServerStore(QdrantClient(":memory:"))}

    def opened(data: str, database_url: str = "", qdrant_url: str = "") -> Quiver:
        parts = toy_parts(tmp_path / data, database_url=postgres_url if database_url else None)
        assert bool(qdrant_url) == isinstance(held[data], ServerStore)
        parts.__dict__["store"] = held[data]
        monkeypatch.setattr(held[data], "close", lambda: None)  # it outlives who opens it, as a server does
        return Quiver(parts)

    monkeypatch.setattr(Quiver, "open", opened)
    monkeypatch.chdir(tmp_path)
    with opened("quiver-data") as quiver:
        quiver.restore("given")
        quiver.export("c", "c.parquet")
        quiver.import_("c.parquet", "photos")
    return held


def run(name: str) -> None:
    [script] = re.findall(rf"^<!-- {name} -->\n```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert script.count("\n") <= 12
    exec(compile(script, name, "exec"), {})


def check(quiver: Quiver, *names: str) -> None:
    assert [each.name for each in quiver.status()] == list(names)
    for each in quiver.status():
        assert each.counts[State.INDEXED] == sum(each.counts.values()) == 2
        assert quiver.content(each.name, "cat") == b"a red cat"
        assert quiver.search(each.name, "cat").hits[0].external_id == "cat"
        assert not reconcile(quiver._parts, each.name).counts


def opened(data: str, **servers: str) -> Quiver:
    made: Quiver = Quiver.open(data, **servers)
    return made


def test_a_collection_is_copied(stores: Stores) -> None:
    run("copy_collection.py")
    with opened("quiver-data") as quiver:
        check(quiver, "c", "photos", "photos-copy")


def test_a_lost_store_is_rebuilt(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    stores["quiver-data"] = MemoryStore()
    run("rebuild.py")
    assert capsys.readouterr().out == "c {'missing': 2}\nphotos {'missing': 2}\n"
    with opened("quiver-data") as quiver:
        check(quiver, "c", "photos")


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_an_installation_moves_to_servers(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    run("move.py")
    assert "photos {'indexed': 2" in capsys.readouterr().out
    with opened("server-data", database_url="set", qdrant_url="set") as quiver:
        check(quiver, "c", "photos")
