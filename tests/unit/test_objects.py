"""Objects of stores: in memory, and over a real socket in the words of S3."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from core.errors import BadQuery, MissingExtra, NoSuchPath, Refused, RemoteFailed, TooLarge
from core.fields import FieldType
from ingest.limits import Limits
from ingest.sources.manifest import Inline, Item
from ingest.sources.objects import Objects
from ingest.sources.paths import How, items, sources
from ingest.sources.pick import Pick
from ingest.sources.sidecar import with_sidecars
from ingest.sources.stored import Stored
from ingest.sources.upload import Upload
from ingest.sources.url import Remote
from tests.unit.test_tars import EXPECTED, SAMPLES, made
from tests.web import Web, page

TREE = {"a.jpg": b"A", "a.txt": b"a cat", "x/b.jpg": b"B", "x/y/c.png": b"C", ".hidden/d.jpg": b"D", "x/.e.jpg": b"E"}


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place, as a URL without its last slash."""
    name = f"bucket-{uuid4().hex[:8]}"
    if request.param == "s3":
        said = {
            "AWS_ENDPOINT_URL": request.getfixturevalue("endpoint"),
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for key, value in said.items():
            monkeypatch.setenv(key, value)
        boto3.client("s3").create_bucket(Bucket=name)
    fsspec.get_filesystem_class(request.param).clear_instance_cache()  # of another endpoint
    return f"{request.param}://{name}"


def put(root: str, objects: dict[str, bytes]) -> None:
    scheme, _, name = root.partition("://")
    if scheme == "s3":
        for key, data in objects.items():
            boto3.client("s3").put_object(Bucket=name, Key=key, Body=data)
    else:
        files = fsspec.filesystem("memory")
        for key, data in objects.items():
            files.pipe(f"/{name}/{key}", data)


def listed(url: str, **more: Any) -> list[Item | Refused]:
    return list(Objects(url, Limits()).listed(**more))


def ids(said: list[Item | Refused], root: str) -> list[str]:
    assert all(not isinstance(one, Refused) for one in said), said
    names = [one.external_id for one in said if not isinstance(one, Refused)]
    bare = root.replace("memory://", "memory:///")
    assert all(name.startswith(f"{bare}/") for name in names)
    return [name.removeprefix(f"{bare}/") for name in names]


def data_of(item: Item | Refused) -> bytes:
    assert isinstance(item, Stored)
    with item.open() as source:
        return source.read()


def test_what_lies_below_is_listed_and_called_by_its_url(root):
    put(root, TREE)
    said = listed(root)
    assert ids(said, root) == ["a.jpg", "a.txt", "x/b.jpg", "x/y/c.png"]
    assert [data_of(one) for one in said] == [b"A", b"a cat", b"B", b"C"]
    assert ids(listed(f"{root}/x/"), root) == ["x/b.jpg", "x/y/c.png"]
    assert ids(listed(f"{root}/x"), root) == ["x/b.jpg", "x/y/c.png"]
    assert ids(listed(f"{root}/a.jpg"), root) == ["a.jpg"]


def test_patterns_and_sidecars_mean_what_they_mean_in_folders(root):
    put(root, TREE)
    assert ids(listed(root, pick=Pick(("*.jpg",), ("x/",))), root) == ["a.jpg"]
    [photo] = listed(root, pick=Pick(("/a.jpg",)), sidecars=True)
    assert isinstance(photo, Stored)
    assert with_sidecars(photo.metadata, photo.sidecars, Limits()) == {"caption": "a cat"}


def test_the_mark_of_an_object_changes_when_it_does(root):
    put(root, {"a.jpg": b"A"})
    [first] = listed(f"{root}/a.jpg")
    [again] = listed(f"{root}/a.jpg")
    put(root, {"a.jpg": b"B"})
    [other] = listed(f"{root}/a.jpg")
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert isinstance(other, Stored)
    assert first.mark == again.mark
    if root.startswith("s3"):
        assert first.mark
        assert first.mark != other.mark
    else:
        assert first.mark == other.mark == ""  # it does not tell: so all is read again


def test_what_is_not_there_is_told(root):
    put(root, TREE)
    with pytest.raises(NoSuchPath, match="there is nothing"):
        listed(f"{root}/nowhere")
    with pytest.raises(NoSuchPath, match="nothing has such a name"):
        sources([f"{root}/*.tar"], How())
    [fault] = items([f"{root}/nowhere.tar"])
    assert isinstance(fault, NoSuchPath)


def test_a_bucket_that_is_not_there_is_told(root):
    with pytest.raises(Refused):
        listed(f"{root}-nowhere/a/b")


def test_an_object_over_the_limit_is_refused_and_not_kept(root):
    put(root, {"a.jpg": b"A" * 101})
    [item] = Objects(root, Limits(bytes=100, media_bytes=100)).listed()
    with pytest.raises(TooLarge, match="QUIVER_MAX_MEDIA_BYTES"):
        data_of(item)


def test_tars_and_tables_at_a_url_are_read_as_streams(root):
    put(
        root,
        {
            "s-0.tar": made(SAMPLES),
            "s-1.tar": made(SAMPLES[:1], mode="w:gz"),
            "list.csv": b"path,text,n\nx/b.jpg,,1\n,hello,2\nhttps://e.com/c.jpg,,3\n",
            "x/b.jpg": b"B",
        },
    )
    uploads = [one for one in items([f"{root}/s-*.tar"]) if isinstance(one, Upload)]
    names = [name.replace("t.tar", "s-0.tar") for name in EXPECTED]
    assert [one.external_id for one in uploads] == [*names, "s-1.tar/0001.jpg"]
    stored, text, web = items([f"{root}/list.csv"], How(fields={"n": FieldType.INTEGER}))
    assert isinstance(stored, Stored)
    assert (stored.external_id, dict(stored.metadata), data_of(stored)) == ("x/b.jpg", {"n": 1}, b"B")
    assert isinstance(text, Inline)
    assert web == Remote("https://e.com/c.jpg", "https://e.com/c.jpg", {"n": 3})


def test_a_single_web_address_is_fetched_as_every_address_is(monkeypatch):
    assert list(items(["https://me:secret@e.com/a.jpg#x"])) == [
        Remote("https://e.com/a.jpg", "https://me:secret@e.com/a.jpg#x")
    ]


def test_a_store_that_is_away_is_told_without_secrets(monkeypatch):
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    [fault] = items([f"s3://away-{uuid4().hex[:6]}/x"])
    assert isinstance(fault, RemoteFailed)
    assert "hunter2" not in str(fault)


def test_a_store_whose_package_is_missing_names_the_command():
    with pytest.raises(MissingExtra, match=r"pip install 'quiver\[gcs\]'"):
        sources(["gs://bucket/x"], How())


@pytest.mark.parametrize(
    "url", ["nope://x/y", "x1y://z", "qdrant:///c", "qdrant://h", "qdrant://h/a/b", "qdrant://u:p@h/c"]
)
def test_a_url_that_nobody_knows_is_refused_before_anything_is_done(url):
    with pytest.raises(BadQuery):
        sources([url], How(payloads=lambda _url, _name: pytest.fail("was asked")))


def test_the_same_place_named_twice_is_one_source(root, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.tar").write_bytes(made(SAMPLES))
    put(root, {"a.jpg": b"A"})
    named = sources([tmp_path, f"{tmp_path}/", f"file://{tmp_path}", tmp_path / "b.tar", root, root], How())
    assert len(named) == 3
    assert all(not (isinstance(said, int)) or said >= 0 for said in (one.count() for one in named))


def test_a_web_server_that_does_not_answer_is_told_from_one_that_has_nothing() -> None:
    with Web() as web:
        web.pages["/broken/"] = page(status="500 Internal Server Error")
        web.pages["/closed/"] = page(status="403 Forbidden")
        there = web.url("")
        with pytest.raises(NoSuchPath, match=f"{there}/x/: there is nothing"):
            listed(f"{there}/x/")
        for path, status in (("broken", 500), ("closed", 403)):
            with pytest.raises(RemoteFailed, match=f"{there}/{path}/: ClientResponseError: {status}"):
                listed(f"{there}/{path}/")
    with pytest.raises(RemoteFailed, match=r"Cannot connect to host .*: check the address and the network"):
        listed(f"{there}/x/")
