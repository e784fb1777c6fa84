"""Another Qdrant collection is taken in with its vectors, by whoever declares which model made them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from typer.testing import CliRunner

from core.errors import BadQuery, ModelMismatch, NoSuchAsset, NoSuchCollection
from core.records import Outcome, State
from core.stores.memory import MemoryStore
from core.stores.payloads import ServerPayloads
from quiver import Quiver
from quiver.cli import export as _commands  # noqa: F401  # adds its commands
from quiver.cli.app import app
from tests.doubles import ColourEncoder, toy_parts
from tests.flow.promises import check
from workers.reconcile import reconcile

URL = "qdrant://h:6333/theirs"
COLOUR = m.VectorParams(size=4, distance=m.Distance.DOT)  # of any length: cosine needs them of unit length
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    made = QdrantClient(":memory:")
    monkeypatch.setattr("quiver.archive.open_payloads", lambda _key, _url, name: ServerPayloads(made, name))

    def encode(*_: Any) -> Any:
        raise AssertionError("an import embedded something")

    monkeypatch.setattr(ColourEncoder, "encode", encode)
    yield made
    made.close()


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    parts = toy_parts(tmp_path)
    parts.__dict__["store"] = MemoryStore()
    with Quiver(parts) as made:
        yield made


def put(client: QdrantClient, points: dict[int, tuple[Any, dict[str, Any]]]) -> None:
    client.upsert("theirs", [m.PointStruct(id=key, vector=v, payload=said) for key, (v, said) in points.items()])


def make(client: QdrantClient, **more: Any) -> None:
    client.create_collection("theirs", {"clip": COLOUR}, more)


def test_texts_come_with_their_vectors_and_are_bytes(client: QdrantClient, quiver: Quiver) -> None:
    make(client, terms=m.SparseVectorParams())
    sparse = m.SparseVector(indices=[5, 1], values=[0.5, 1.0])
    put(
        client,
        {
            1: ({"clip": [2, 0, 0, 0], "terms": sparse}, {"text": "one", "kind": "a"}),
            2: ({"clip": [0, 1, 0, 0]}, {"text": "two"}),
        },
    )
    done = quiver.import_(URL, "c", vectors={"clip": "colour", "terms": "words"})
    assert (done.ok, done.outcomes[Outcome.ADDED], done.points, done.without_bytes) == (True, 2, 2, 0)
    check(quiver._parts)
    assert not reconcile(quiver._parts, "c").counts
    assert quiver.content("c", "1") == b"one"
    assert dict(quiver.show("c", "1").asset.metadata) == {"kind": "a"}
    hits = quiver.search("c", like="1").hits
    assert [hit.external_id for hit in hits] == ["2"]
    again = quiver.import_(URL, "c", vectors={"clip": "colour", "terms": "words"})
    assert (again.outcomes[Outcome.UNCHANGED], again.points) == (2, 0)


def test_pictures_come_without_bytes_and_a_new_vector_is_a_change(client: QdrantClient, quiver: Quiver) -> None:
    make(client)
    put(client, {1: ({"clip": [3, 0, 0, 0.1]}, {"name": "a.jpg"}), 2: ({"clip": [0, 1, 0, 0]}, {"name": "b.jpg"})})
    said: dict[str, Any] = {"vectors": {"clip": "colour"}, "columns": {"id": "name"}, "modality": "image"}
    done = quiver.import_("http://h:6333#theirs", "c", **said)
    assert (done.ok, done.without_bytes, done.lacking) == (True, 2, ("words",))
    with pytest.raises(NoSuchAsset):
        quiver.content("c", "a.jpg")
    put(client, {2: ({"clip": [0, 0, 1, 0]}, {"name": "b.jpg"})})
    done = quiver.import_(URL, "c", **said)
    assert (done.outcomes[Outcome.CHANGED], done.outcomes[Outcome.UNCHANGED]) == (1, 1)
    assert quiver.status("c")[0].counts[State.INDEXED] == 2
    assert not reconcile(quiver._parts, "c").counts


def test_bad_points_are_refused_by_name_and_the_others_land(client: QdrantClient, quiver: Quiver) -> None:
    make(client)
    put(
        client,
        {
            1: ({"clip": [1, 0, 0, 0]}, {"text": "good"}),
            2: ({"clip": [0, 0, 0, 0]}, {"text": "zero"}),
            3: ({}, {"text": "none"}),
            4: ({"clip": [1, 0, 0, 0]}, {"text": "key", "a b": 1}),
            5: ({"clip": [1, 1, 0, 0]}, {"text": "good too"}),
        },
    )
    done = quiver.import_(URL, "c", vectors={"clip": "colour"})
    assert [(p.name, p.kind) for p in done.refused] == [
        ("2", "BadManifest"),
        ("3", "BadManifest"),
        ("4", "BadMetadata"),
    ]
    assert done.points == 2


def test_a_declaration_that_cannot_be_true_is_refused_before_anything_is_made(
    client: QdrantClient, quiver: Quiver
) -> None:
    client.create_collection(
        "theirs",
        {
            "clip": COLOUR,
            "wide": m.VectorParams(size=5, distance=m.Distance.COSINE),
            "late": m.VectorParams(
                size=4,
                distance=m.Distance.COSINE,
                multivector_config=m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM),
            ),
        },
    )
    put(client, {1: ({"clip": [1, 0, 0, 0]}, {})})
    wrong: list[tuple[dict[str, str], type[Exception], str]] = [
        ({}, BadQuery, "--vector NAME=SPACE"),
        ({"wide": "colour"}, ModelMismatch, "of 5 numbers and space 'colour' .* of 4"),
        ({"clip": "words"}, ModelMismatch, "words"),
        ({"late": "colour"}, BadQuery, "no vector 'late'"),
        ({"": "colour"}, BadQuery, "no vector ''"),
        ({"clip": "nose"}, BadQuery, "no space 'nose'; the collection has colour, words"),
        ({"clip": "colour", "wide": "colour"}, BadQuery, "one vector"),
    ]
    for vectors, fault, message in wrong:
        with pytest.raises(fault, match=message):
            quiver.import_(URL, "c", vectors=vectors)
    with pytest.raises(NoSuchCollection):
        quiver.import_("qdrant://h:6333/nobody", "c", vectors={"clip": "colour"})
    assert quiver.status() == []
    with pytest.raises(BadQuery, match="--modality image"):
        quiver.import_(URL, "c", vectors={"clip": "colour"})
    with pytest.raises(BadQuery, match="smell"):
        quiver.import_(URL, "c", vectors={"clip": "colour"}, modality="smell")


def test_a_vector_without_a_name_is_taken(client: QdrantClient, quiver: Quiver) -> None:
    client.create_collection("theirs", COLOUR)
    put(client, {1: ([1, 0, 0, 0], {"text": "one"})})
    assert quiver.import_(URL, "c", vectors={"": "colour"}).points == 1


SLOWLY = """
import sys, time
from pathlib import Path
from quiver import Quiver
from quiver.cli import export as _commands  # noqa: F401  # adds its commands
from quiver.cli.app import app
from tests.doubles import toy_parts
from workers import {module} as module

real = module.{name}

def slowly(*args, **kwargs):
    print("at it", flush=True)
    time.sleep(0.05)
    return real(*args, **kwargs)

module.{name} = slowly
with Quiver(toy_parts(Path(sys.argv[1]), batch=4)) as quiver:
    quiver.{call}
"""


def killed(data: Path, times: int, **said: str) -> None:
    """Run it in a process of its own, and kill that at the so-manyeth time that it comes by."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLOWLY.format(**said), str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        for _ in range(times):
            assert child.stdout.readline() == "at it\n", child.stderr.read() if child.stderr else ""
        child.kill()


def test_export_and_import_killed_in_the_middle_lose_and_double_nothing(tmp_path: Path) -> None:
    count = 40
    with Quiver(toy_parts(tmp_path / "from")) as here:
        here.create("c")
        here.add_texts("c", [(f"t{at}", f"red cat {at}", {"n": at}) for at in range(count)])
    target, there = tmp_path / "c.parquet", tmp_path / "there"
    target.write_bytes(b"before")
    killed(tmp_path / "from", 3, module="table_writer", name="_said", call=f"export('c', {str(target)!r})")
    assert target.read_bytes() == b"before"
    with Quiver(toy_parts(tmp_path / "from")) as here:
        assert here.export("c", target).assets == count
    killed(there, 4, module="importing", name="_write", call=f"import_({str(target)!r}, 'c')")
    with Quiver(toy_parts(there, batch=4)) as quiver:
        begun = quiver.status("c")[0].counts
        assert 0 < begun[State.INDEXED] < count
        done = quiver.import_(target, "c")
        assert done.ok
        assert done.outcomes[Outcome.UNCHANGED] >= begun[State.INDEXED]
        assert quiver.status("c")[0].counts[State.INDEXED] == sum(quiver.status("c")[0].counts.values()) == count
        assert not reconcile(quiver._parts, "c").counts
        index = quiver._parts.catalogue.serving("c")
        assert len(quiver._parts.store.scroll(index)) == count


def test_the_commands_say_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiver.cli.export.opened", lambda data: Quiver(toy_parts(data)))
    with Quiver(toy_parts(tmp_path / "from")) as here:
        here.create("c")
        here.add_texts("c", [("a", "red", {}), ("b", "green", {})])
    run = CliRunner().invoke
    said = run(app, ["export", "c", str(tmp_path / "c.parquet"), "--data", str(tmp_path / "from"), "--json"])
    assert json.loads(said.stdout)["points"] == 2
    said = run(app, ["import", str(tmp_path / "c.parquet"), "-c", "c", "--data", str(tmp_path / "to")])
    assert (said.exit_code, "2 added" in said.stdout, "2 have no bytes" in said.stdout) == (0, True, True)
    said = run(app, ["import", str(tmp_path / "c.parquet"), "-c", "c", "--data", str(tmp_path / "to"), "--json"])
    assert json.loads(said.stdout)["outcomes"]["unchanged"] == 2
