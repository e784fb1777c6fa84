"""What is fetched becomes an asset, for those who may fetch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.types import Modality, Tenant
from ingest.sources.manifest import Item
from ingest.sources.paths import items
from ingest.sources.url import Remote
from tests.doubles import toy_parts
from tests.fetched import SECRET
from tests.photos import photo
from tests.web import Web, page
from workers.collections import ensure
from workers.intake import Intake, register


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


def taken(folder: Path, given: Any, *, fetches: bool, **settings: Any) -> Intake:
    parts = toy_parts(folder, fetch_networks="127.0.0.1", **settings)
    made = ensure(parts, "c", {}, None)
    try:
        return register(parts, Tenant("t"), made, given, lambda *_: None, fetches=fetches)
    finally:
        parts.close()


def test_what_is_fetched_is_sniffed_by_content_with_its_name_as_a_hint(web, tmp_path):
    web.pages |= {
        "/photo": page(photo("PNG"), "Content-Type: text/html"),
        "/read.md?x=.jpg": page(b"# hello", "Content-Type: image/png"),
    }
    parts = toy_parts(tmp_path, fetch_networks="127.0.0.1")
    made = ensure(parts, "c", {}, None)
    urls = [web.url("/photo"), web.url("/read.md?x=.jpg#y")]
    given: list[Item] = [Remote("photo", urls[0], {"a": 1}), Remote("read", urls[1])]
    done = register(parts, Tenant("t"), made, given, lambda *_: None, fetches=True)
    assert not done.refused
    photo_asset, text = (parts.catalogue.asset(Tenant("t"), "c", name) for name in ("photo", "read"))
    assert (photo_asset.modality, photo_asset.media_type, photo_asset.metadata) == (
        Modality.IMAGE,
        "image/png",
        {"a": 1},
    )
    assert (text.modality, text.media_type) == (Modality.TEXT, "text/markdown")
    with parts.blobs.open(photo_asset.digest) as kept:
        assert kept.read() == photo("PNG")
    parts.close()


def test_addresses_in_a_manifest_are_taken_in_and_one_that_fails_costs_one(web, tmp_path):
    web.pages |= {"/a.txt": page(b"red"), "/b.png": page(photo("PNG")), "/c.jpg": page(b"<html>" + SECRET)}
    manifest = tmp_path / "list.jsonl"
    urls = [*(web.url(path) for path in ("/a.txt", "/b.png", "/c.jpg", "/gone")), "http://10.0.0.1/"]
    manifest.write_text("".join(json.dumps({"url": url}) + "\n" for url in urls) + '{"text": "blue"}\n')
    done = taken(tmp_path / "data", items([manifest]), fetches=True)
    assert done.outcomes.total() == 3
    assert [(problem.name, problem.kind) for problem in done.refused] == [
        (urls[2], "CorruptMedia"),
        (urls[3], "RemoteFailed"),
        (urls[4], "ForbiddenAddress"),
    ]
    assert "404" in done.refused[1].message
    assert not [problem for problem in done.refused if SECRET.decode() in problem.message]


def test_nothing_is_fetched_for_one_who_may_not(web, tmp_path):
    web.pages["/"] = page(b"red")
    done = taken(tmp_path, [Remote("x", web.url("/"))], fetches=False)
    assert [problem.kind for problem in done.refused] == ["Forbidden"]
    assert "QUIVER_FETCH_TENANTS" in done.refused[0].message
    assert not web.asked


def test_metadata_that_cannot_be_kept_is_refused_before_anybody_is_asked(web, tmp_path):
    web.pages["/"] = page(b"red")
    given = [Remote("x", web.url("/"), {"a": "b" * 100})]
    done = taken(tmp_path, given, fetches=True, max_metadata_bytes=50)
    assert [problem.kind for problem in done.refused] == ["TooLarge"]
    assert not web.asked


def test_a_file_larger_than_the_setting_is_refused(web, tmp_path):
    web.pages["/"] = page(b"red " * 100)
    done = taken(tmp_path, [Remote("x", web.url("/"))], fetches=True, max_bytes=100)
    assert [problem.kind for problem in done.refused] == ["TooLarge"]


def test_a_file_that_is_gone_when_it_is_needed_again_costs_itself_alone(web, tmp_path, monkeypatch):
    web.pages |= {"/once": [page(b"red"), page(status="410 Gone")], "/always": page(b"blue")}
    parts = toy_parts(tmp_path, fetch_networks="127.0.0.1")
    made = ensure(parts, "c", {}, None)
    monkeypatch.setattr(parts.blobs, "has", lambda _digest: False)  # purged by another before our rows were written
    given = [Remote("once", web.url("/once")), Remote("always", web.url("/always"))]
    done = register(parts, Tenant("t"), made, given, lambda *_: None, fetches=True)
    assert [(problem.name, problem.kind) for problem in done.refused] == [("once", "RemoteFailed")]
    assert sorted(web.paths) == ["/always", "/always", "/once", "/once"]  # two at once
    parts.close()
