"""A JSON Lines manifest as a source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadManifest, NoSuchPath, UnsupportedMedia
from ingest.sources import jsonl
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline, Item, read_manifest, text_id
from ingest.sources.url import Remote


def read(folder: Path, data: str | bytes) -> list[Item | BadManifest]:
    path = folder / "list.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read_manifest(path))


def test_paths_are_relative_to_the_manifest_and_are_the_id_unless_there_is_one(tmp_path):
    found = read(
        tmp_path,
        '{"path": "a/b.jpg", "metadata": {"year": 2020}}\n{"path": "/abs/c.jpg"}\n{"path": "d.jpg", "id": "dee"}',
    )
    assert found == [
        Found("a/b.jpg", tmp_path / "a/b.jpg", {"year": 2020}),
        Found("/abs/c.jpg", Path("/abs/c.jpg"), {}),
        Found("dee", tmp_path / "d.jpg", {}),
    ]


def test_a_text_stands_for_itself_and_has_an_id_of_its_own(tmp_path):
    found = read(tmp_path, '{"text": "世界"}\n{"text": "hello", "id": "greeting", "metadata": {"a": [1]}}\n')
    assert found == [Inline(text_id("世界"), "世界", {}), Inline("greeting", "hello", {"a": [1]})]
    assert text_id("世界") != text_id("hello")
    assert text_id("hello") == "text-2cf24dba5fb0"  # sha256sum of hello


def test_an_address_is_fetched_later_and_is_the_id_unless_there_is_one(tmp_path):
    found = read(
        tmp_path,
        '{"url": "https://me:secret@e.com/a.jpg#x", "metadata": {"year": 2020}}\n'
        '{"url": "http://e.com/b", "id": "bee"}',
    )
    assert found == [
        Remote("https://e.com/a.jpg", "https://me:secret@e.com/a.jpg#x", {"year": 2020}),
        Remote("bee", "http://e.com/b", {}),
    ]


def test_blank_lines_a_mark_and_carriage_returns_are_no_matter(tmp_path):
    found = read(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n\r\n   \n{"text": "b"}')
    assert [item.text for item in found if isinstance(item, Inline)] == ["a", "b"]


BAD = [
    (b"oops", "not JSON"),
    (b'{"text": "a"', "not JSON"),
    (b'{"text": "a", "metadata": {"x": NaN}}', "NaN is not in JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"text": "a", "metadata": {"x": ' + b"9" * 5000 + b"}}", "not JSON"),
    (b'["a"]', "must be an object, not a list"),
    (b"7", "must be an object, not a number"),
    (b"null", "must be an object, not null"),
    (b"{}", 'one of "path", "text" and "url"'),
    (b'{"id": "a"}', 'one of "path", "text" and "url"'),
    (b'{"path": "a", "text": "b"}', 'one of "path", "text" and "url"'),
    (b'{"url": "http://e.com/", "text": "b"}', 'one of "path", "text" and "url"'),
    (b'{"url": 7}', '"url" must be a string that is not empty, not a number'),
    (b'{"path": 7}', '"path" must be a string that is not empty, not a number'),
    (b'{"text": ""}', "not an empty string"),
    (b'{"text": null}', "not null"),
    (b'{"text": ["a"]}', "not a list"),
    (b'{"text": "a", "id": 7}', '"id" must be a string'),
    (b'{"text": "a", "id": ""}', '"id" must be a string'),
    (b'{"text": "a", "metadata": ["a"]}', '"metadata" must be an object, not a list'),
    (b'{"text": "a", "metadata": null}', '"metadata" must be an object, not null'),
    (b'{"text": "a", "year": 2020}', "unknown key 'year': allowed are path, text, url, id, metadata"),
    (b'{"path": "a\\u0000b"}', "NUL"),
    (b'{"text": "\\ud800"}', "surrogate"),
    (b'{"text": "caf\xe9"}', "not valid UTF-8 at byte 13"),
    (b'{"text": "first"}', "'text-a7937b64b8ca' is already on line 1"),
]


@pytest.mark.parametrize(("line", "what"), BAD, ids=[what for _, what in BAD])
def test_a_bad_line_is_told_with_its_number_and_stops_no_other(tmp_path, line, what):
    first, bad, last = read(tmp_path, b'{"text": "first"}\n\n' + line + b'\n{"text": "last"}\n')
    assert isinstance(first, Inline)
    assert isinstance(last, Inline)
    assert isinstance(bad, BadManifest)
    assert str(bad).startswith("list.jsonl, line 3: ")
    assert what in str(bad)


@pytest.mark.parametrize("length", [50, 99, 100, 101, 102, 103, 1000])
def test_a_line_too_long_for_memory_is_told_and_the_next_is_read(tmp_path, monkeypatch, length):
    monkeypatch.setattr(jsonl, "LINE", 100)
    bad, last = read(tmp_path, b"x" * length + b'\n{"text": "last"}\n')
    assert isinstance(bad, BadManifest)
    assert ("longer than 100 bytes" in str(bad)) == (length > 100 or length == 100)
    assert isinstance(last, Inline)


def test_a_manifest_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(NoSuchPath):
        list(read_manifest(tmp_path / "nowhere.jsonl"))
    with pytest.raises(UnsupportedMedia, match="folder"):
        list(read_manifest(tmp_path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
lines = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["path", "text", "url", "id", "metadata", "x"]), json_values, max_size=4).map(
        lambda value: json.dumps(value).encode()
    ),
)


@given(st.lists(lines, max_size=5))
def test_any_bytes_are_items_or_faults_and_nothing_else(tmp_path_factory, given_lines):
    folder = tmp_path_factory.mktemp("manifest")
    for said in read(folder, b"\n".join(given_lines)):
        assert isinstance(said, (Found, Inline, Remote, BadManifest))
        if not isinstance(said, BadManifest):
            assert said.external_id.strip()
            said.external_id.encode()
