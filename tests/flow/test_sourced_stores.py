"""Stores of objects, the web and other collections taken in again and again, by the embedded facade."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from fsspec.spec import AbstractFileSystem
from qdrant_client import QdrantClient
from qdrant_client import models as m

from core.errors import NoSuchCollection
from core.stores import payloads
from core.stores.payloads import ServerPayloads
from quiver import Quiver
from tests.flow.embedded import embedded
from tests.unit.test_objects import endpoint, put, root

__all__ = ["endpoint", "root"]


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    with Quiver(embedded(tmp_path / "data", fetch_networks="127.0.0.0/8")) as made:
        yield made


def there(quiver: Quiver) -> list[str]:
    return [one.asset.external_id for one in quiver.assets("c", limit=100)]


@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_an_object_whose_tag_is_as_it_was_is_not_fetched_again(quiver, root, monkeypatch):
    put(root, {f"x/{at:02}.txt": f"red {at}".encode() for at in range(20)} | {"x/bad.bin": b"\x00\x01" * 9})
    report = quiver.ingest(f"{root}/x", collection="c")
    assert (report.added, [problem.name for problem in report.refused]) == (20, [f"{root}/x/bad.bin"])
    assert there(quiver)[0] == f"{root}/x/00.txt"
    fetched: list[str] = []
    real = AbstractFileSystem.open

    def opened(self, path, *args, **more):
        fetched.append(path)
        return real(self, path, *args, **more)

    monkeypatch.setattr(AbstractFileSystem, "open", opened)
    put(root, {"x/03.txt": b"blue", "x/new.txt": b"new"})
    name = root.removeprefix("s3://")
    boto3.client("s3").delete_object(Bucket=name, Key="x/07.txt")
    report = quiver.ingest(f"{root}/x", collection="c", prune=True)
    assert (report.added, report.changed, report.unchanged, report.pruned) == (1, 1, 18, (f"{root}/x/07.txt",))
    assert sorted(fetched) == [f"{name}/x/03.txt", f"{name}/x/bad.bin", f"{name}/x/new.txt"]


@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_a_bucket_that_is_empty_or_away_prunes_nothing(quiver, root):
    put(root, {"x/a.txt": b"red", "x/b.txt": b"blue"})
    quiver.ingest(f"{root}/x", collection="c")
    for key in ("x/a.txt", "x/b.txt"):
        boto3.client("s3").delete_object(Bucket=root.removeprefix("s3://"), Key=key)
    report = quiver.ingest(f"{root}/x", collection="c", prune=True)
    assert "Conflict" in {problem.kind for problem in report.refused}
    assert len(there(quiver)) == 2


def test_a_page_that_lists_files_is_a_folder(quiver, tmp_path):
    (tmp_path / "www" / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", ".hidden.txt"):
        (tmp_path / "www" / name).write_text(f"red {name}")
    (tmp_path / "www" / "list.csv").write_text("path,text\nsub/b.txt,\n,hello\n")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        report = quiver.ingest(f"{base}/", collection="c", glob=["*.txt"])
        assert report.ok, report.refused
        assert there(quiver) == [f"{base}/a.txt", f"{base}/sub/b.txt"]
        report = quiver.ingest(f"{base}/list.csv", f"{base}/a.txt", collection="d")
        assert (report.added, report.ok) == (3, True), report.refused
        report = quiver.ingest(f"{base}/nowhere.csv", f"{base}/nowhere.txt", collection="d")
        assert [problem.kind for problem in report.refused] == ["NoSuchPath", "RemoteFailed"]
    finally:
        server.shutdown()
        server.server_close()


def test_another_collection_is_embedded_here_anew(quiver, monkeypatch):
    client = QdrantClient(":memory:")
    client.create_collection("docs", m.VectorParams(size=2, distance=m.Distance.COSINE))

    def put_points(*points: tuple[int, dict[str, Any]]) -> None:
        client.upsert("docs", [m.PointStruct(id=key, vector=[1.0, 0.0], payload=said) for key, said in points])

    asked: list[object] = []

    def payloads_at(url: str, name: str, key: str | None) -> ServerPayloads:
        asked.append((url, name, key))
        return ServerPayloads(client, name)

    monkeypatch.setattr(payloads, "payloads_at", payloads_at)
    put_points(*((at, {"body": f"red {at}", "kind": "old"}) for at in range(10)), (10, {"nothing": 1}))
    ingest = partial(
        quiver.ingest, "qdrant://h:6333/docs", collection="c", fields=["kind=keyword"], columns={"text": "body"}
    )
    report = ingest(source_key="secret")
    assert (report.added, [problem.kind for problem in report.refused]) == (10, ["BadManifest"])
    assert asked[0] == ("http://h:6333", "docs", "secret")
    client.delete("docs", [3, 10])
    put_points((0, {"body": "blue", "kind": "new"}))
    report = ingest(prune=True)
    assert (report.added, report.changed, report.unchanged, report.pruned) == (0, 1, 8, ("3",))
    assert [hit.external_id for hit in quiver.search("c", "blue", where="kind = new").hits] == ["0"]
    [problem] = quiver.ingest("qdrant://h:6333/nope", collection="c").refused
    assert problem.kind == NoSuchCollection.__name__
    client.close()
