"""Export and import through both doors: the embedded facade and a server's."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.desk import Role
from core.errors import (
    BadFilter,
    BadManifest,
    BadQuery,
    BlobsDown,
    Conflict,
    CorruptMedia,
    Forbidden,
    ModelMismatch,
    NoSuchAsset,
    NoSuchCollection,
    Overloaded,
    ServerDown,
    TooLarge,
)
from core.filters import Range
from core.records import Outcome
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace
from core.stores.memory import MemoryStore
from core.types import Tenant
from quiver import Quiver
from quiver.http import archive
from quiver.http.places import AT_ONCE, places
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import client, key_for, serving

Door = Quiver | RemoteQuiver
ANN, BOB = Tenant("ann"), Tenant("bob")
MOST = 100_000  # bytes of a table


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = toy_parts(tmp_path_factory.mktemp("archive") / "data", max_bulk_bytes=MOST)
    made.__dict__["store"] = MemoryStore()
    fill(Quiver(made, tenant=ANN, owner=ANN))
    yield made
    made.close()


@pytest.fixture(scope="module")
def base(parts: Parts) -> Iterator[str]:
    with serving(parts) as url:
        yield url


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield Quiver(parts, tenant=ANN, owner=ANN)
    else:
        key = key_for(parts, ANN)
        with Quiver.connect(request.getfixturevalue("base"), key, patience=0) as remote:
            yield remote


_names = (f"copy{at}" for at in itertools.count())


@pytest.fixture
def copy() -> str:
    """Of a collection that is not there yet."""
    return next(_names)


@pytest.fixture
def table(parts: Parts) -> io.BytesIO:
    """An export."""
    out = io.BytesIO()
    Quiver(parts, tenant=ANN, owner=ANN).export("c", out)
    return out


def fill(door: Door) -> None:
    door.create("c", fields={"price": "float"})
    for at, name in enumerate(("red", "green")):
        door.add("c", text=name, id=name, metadata={"price": at})
    door.wait("c", timeout=20)


def test_what_is_exported_is_imported_with_its_vectors(door: Door, copy: str, tmp_path: Path) -> None:
    told: list[Any] = []
    done = door.export("c", tmp_path / "c.parquet", on_progress=told.append)
    assert (done.points, done.assets, done.total, done.changing, told[-1]) == (2, 2, 2, 0, done)
    assert not list(tmp_path.glob(".*.part"))
    taken = door.import_(tmp_path / "c.parquet", copy, on_progress=told.append)
    assert (taken.rows, taken.points, taken.ok, taken.without_bytes, told[-1]) == (2, 2, True, 0, taken)
    assert taken.outcomes[Outcome.ADDED] == 2
    assert door.status(copy)[0].fields == {"price": "float"}
    assert door.search(copy, "red").hits[0].external_id == "red"
    assert door.content(copy, "red") == b"red"
    again = door.import_(str(tmp_path / "c.parquet"), copy)
    assert (again.outcomes[Outcome.UNCHANGED], again.points) == (2, 0)


def test_files_that_are_open_do_as_well(door: Door, copy: str) -> None:
    table = io.BytesIO()
    door.export("c", table)
    assert door.import_(table, copy).points == 2
    assert not table.closed


def test_a_filter_chooses_however_it_is_written(door: Door) -> None:
    for where in ("price < 1", {"must": [{"key": "price", "range": {"lt": 1}}]}, Range("price", lt=1)):
        table = io.BytesIO()
        door.export("c", table, where=where)
        assert pq.read_table(table)["external_id"].to_pylist() == ["red"]


def test_a_row_that_is_wrong_is_refused_by_name(door: Door, table: io.BytesIO, copy: str) -> None:
    whole = pq.read_table(table)
    rows = whole.to_pylist()
    rows[0]["digest"] = "none"
    bad = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, whole.schema), bad)
    taken = door.import_(bad, copy)
    assert [(one.name, one.kind) for one in taken.refused] == [(rows[0]["external_id"], "BadManifest")]
    assert (taken.points, taken.ok) == (1, False)


def test_the_same_faults_come_from_both(door: Door, table: io.BytesIO, copy: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchCollection):
        door.export("nowhere", tmp_path / "c.parquet")
    with pytest.raises(BadFilter, match="colour"):
        door.export("c", tmp_path / "c.parquet", where="colour = red")
    with pytest.raises(BlobsDown, match="there is no folder"):
        door.export("c", tmp_path / "nowhere" / "c.parquet")
    assert list(tmp_path.glob("*.p*")) == []
    with pytest.raises(CorruptMedia):
        door.import_(io.BytesIO(b"PAR1 and no more"), copy)
    with pytest.raises(CorruptMedia):
        door.import_(io.BytesIO(b""), copy)
    other = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), other)
    with pytest.raises(BadManifest, match="quiver ingest"):
        door.import_(other, copy)
    with pytest.raises(BadQuery, match="says by itself"):
        door.import_(table, copy, profile="toy")
    assert copy not in [one.name for one in door.status()]


def changed(table: io.BytesIO, space: dict[str, Any] | None = None, **said: Any) -> io.BytesIO:
    """The same table, which says something else of itself or of its first space."""
    whole = pq.read_table(table)
    heading = json.loads(whole.schema.metadata[b"quiver"]) | said
    names = whole.column_names
    if space is not None:
        was = heading["spaces"][0].pop("column")
        heading["spaces"][0] |= space
        names = [EmbeddingSpace.from_dict(heading["spaces"][0]).vector_name if one == was else one for one in names]
    out = io.BytesIO()
    pq.write_table(whole.rename_columns(names).replace_schema_metadata({b"quiver": json.dumps(heading)}), out)
    return out


def test_vectors_of_another_model_are_refused(door: Door, table: io.BytesIO) -> None:
    with pytest.raises((ModelMismatch, Conflict), match="quiver reindex"):
        door.import_(changed(table, {"revision": "2"}), "c")


def test_over_http_a_file_says_nothing_that_a_request_may_not(
    parts: Parts, base: str, table: io.BytesIO, copy: str, tmp_path: Path
) -> None:
    with Quiver.connect(base, key_for(parts, ANN), patience=0) as remote:
        with pytest.raises(Forbidden, match="'hearing' may not be named"):
            remote.import_(changed(table, profile="hearing"), copy)
        assert remote.import_(changed(table, profile="hearing"), "c").ok, "nothing is made"
        with pytest.raises(BadQuery, match="on its machine"):
            remote.import_("qdrant://127.0.0.1:6333/theirs", copy, vectors={"": "colour"})
        for bytes_too in (
            lambda: remote.export("c", table, blobs=tmp_path / "b"),
            lambda: remote.import_(table, "c", blobs=tmp_path),
        ):
            with pytest.raises(BadQuery, match="server's machine"):
                bytes_too()
        with pytest.raises(TooLarge):
            remote.import_(io.BytesIO(b"a" * (MOST + 1)), copy)


def test_a_role_below_an_administrator_s_takes_nothing_out_or_in(parts: Parts, base: str, table: io.BytesIO) -> None:
    for role in (Role.WRITER, Role.OPERATOR):
        with Quiver.connect(base, key_for(parts, ANN, role)) as remote:
            with pytest.raises(Forbidden):
                remote.export("c", io.BytesIO())
            with pytest.raises(Forbidden):
                remote.import_(table, "c")


@pytest.fixture(params=["embedded", "http"])
def bob(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield Quiver(parts, tenant=BOB, owner=BOB)
    else:
        with Quiver.connect(request.getfixturevalue("base"), key_for(parts, BOB)) as remote:
            yield remote


def test_naming_the_digest_of_another_tenant_s_bytes_gives_none_of_them(
    bob: Door, parts: Parts, table: io.BytesIO, copy: str
) -> None:
    ann = Quiver(parts, tenant=ANN, owner=ANN)
    for _ in range(2):
        taken = bob.import_(table, copy)
        assert (taken.ok, taken.without_bytes) == (True, 2), "as where nobody has them"
    assert bob.search(copy, "red").hits[0].external_id == "red"
    with pytest.raises(NoSuchAsset):
        bob.content(copy, "red")
    assert bob.show(copy, "red").asset.digest != ann.show("c", "red").asset.digest
    bob.add(copy, text="red", id="mine")
    bob.wait(copy, timeout=20)
    assert bob.import_(table, copy).without_bytes == 1, "what bob has himself"
    assert bob.content(copy, "red") == b"red"
    bob.remove(copy, "red", "mine")
    assert bob.import_(table, copy).without_bytes == 2
    assert ann.content("c", "red") == b"red"


def test_bytes_that_come_along_are_looked_at_though_another_has_them(
    parts: Parts, table: io.BytesIO, copy: str, tmp_path: Path
) -> None:
    Quiver(parts, tenant=ANN, owner=ANN).export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes")
    digest = Quiver(parts, tenant=ANN, owner=ANN).show("c", "green").asset.digest
    (tmp_path / "bytes" / digest[:2] / digest).write_bytes(b"guess")
    bob = Quiver(parts, tenant=BOB, owner=BOB)
    taken = bob.import_(table, copy, blobs=tmp_path / "bytes")
    assert [(one.name, one.kind) for one in taken.refused] == [("green", "CorruptMedia")]
    assert bob.content(copy, "red") == b"red"


def test_a_server_does_little_long_work_at_once_and_says_when_to_come_again(
    parts: Parts, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(base, key_for(parts, ANN)) as http:
        for _ in range(AT_ONCE):
            places.acquire()
        try:
            for path in ("export", "reindex/plan", "reindex/verify"):
                refused = http.post(f"/v1/collections/c/{path}", json={})
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "30"), path
                assert refused.json()["type"] == f"urn:quiver:fault:{Overloaded.__name__}"
        finally:
            places.release(AT_ONCE)
        assert http.post("/v1/collections/c/export", json={}).status_code == 200
        monkeypatch.setattr(archive, "PIECE", 100)
        answer = http.post("/v1/collections/c/export", json={})
        assert len(answer.content) == int(answer.headers["content-length"])
        assert answer.headers["content-type"] == archive.PARQUET


def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        def pieces() -> Iterator[bytes]:
            yield b"PAR1"
            raise httpx.RemoteProtocolError("cut off")

        return httpx.Response(200, content=pieces())

    (tmp_path / "c.parquet").write_bytes(b"before")
    remote = RemoteQuiver("http://server", transport=httpx.MockTransport(broken))
    with remote, pytest.raises(ServerDown, match="cut off"):
        remote.export("c", tmp_path / "c.parquet")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("c.parquet", b"before")]
