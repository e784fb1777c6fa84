"""An item to a draft: refused by name and without a trace, or stored."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    BadMetadata,
    BlobsDown,
    CorruptMedia,
    EmptyMedia,
    NoSuchAsset,
    NoSuchPath,
    Refused,
    TooLarge,
    UnsupportedMedia,
)
from core.fields import FieldType
from core.records import Draft
from core.types import Digest, Modality
from ingest.limits import Limits
from ingest.register import draft, draft_stream
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline, Item
from tests.photos import huge_png, photo

FIELDS = {"year": FieldType.INTEGER, "at": FieldType.DATETIME}


class Dict:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}

    def put(self, source: BinaryIO) -> tuple[Digest, int]:
        data = source.read()
        digest = Digest(hashlib.sha256(data).hexdigest())
        self.held[digest] = data
        return digest, len(data)

    def open(self, digest: Digest) -> BinaryIO:
        if digest not in self.held:
            raise NoSuchAsset(digest)
        return io.BytesIO(self.held[digest])

    def has(self, digest: Digest) -> bool:
        return digest in self.held

    def path(self, digest: Digest) -> Path | None:
        return None

    def discard(self, digest: Digest) -> None:
        raise AssertionError("registering discards nothing")

    restore = erase = discard


@pytest.fixture
def blobs() -> Dict:
    return Dict()


def drafted(item: Item, blobs: Dict, **limits: int) -> Draft:
    return draft(item, blobs=blobs, fields=FIELDS, limits=Limits(**limits))


def file(folder: Path, name: str, data: bytes, **metadata: Any) -> Found:
    (folder / name).write_bytes(data)
    return Found(name, folder / name, metadata)


def test_an_image_is_drafted_with_all_of_its_bytes_stored(tmp_path, blobs):
    data = photo("PNG")
    got = drafted(file(tmp_path, "a.jpg", data, year=2020), blobs)
    assert blobs.held == {got.digest: data}
    assert got == Draft(
        external_id="a.jpg",
        modality=Modality.IMAGE,
        media_type="image/png",
        digest=Digest(hashlib.sha256(data).hexdigest()),
        size=len(data),
        metadata={"year": 2020},
    )


def test_a_text_file_is_drafted(tmp_path, blobs):
    got = drafted(file(tmp_path, "a.md", "# 世界".encode()), blobs)
    assert (got.modality, got.media_type, got.size) == (Modality.TEXT, "text/markdown", 8)


def test_an_inline_text_is_drafted_and_is_text_whatever_it_begins_with(blobs):
    got = drafted(Inline("note", "GIF89a is a format", {"year": 1989}), blobs)
    assert (got.external_id, got.modality, got.media_type) == ("note", Modality.TEXT, "text/plain")
    assert blobs.held[got.digest] == b"GIF89a is a format"


def test_an_upload_is_drafted_like_a_file(blobs):
    got = draft_stream(
        io.BytesIO(photo()), external_id="up", name="up.bin", metadata={}, blobs=blobs, fields={}, limits=Limits()
    )
    assert (got.external_id, got.media_type, blobs.held[got.digest]) == ("up", "image/jpeg", photo())


def test_metadata_is_stored_in_its_declared_form(tmp_path, blobs):
    got = drafted(file(tmp_path, "a.txt", b"x", at="2020-01-01T01:00:00+01:00", free={"a": None}), blobs)
    assert got.metadata == {"at": "2020-01-01T00:00:00+00:00", "free": {"a": None}}


BAD_FILES = [
    (b"", "a.txt", EmptyMedia, {}),
    (b" \n", "a.txt", EmptyMedia, {}),
    (b"<html>", "a.jpg", CorruptMedia, {}),
    (b"caf\xe9", "a.txt", CorruptMedia, {}),
    (photo()[:10], "a.jpg", CorruptMedia, {}),
    (huge_png(), "a.png", TooLarge, {}),
    (b"P5 20000 10000 255\n", "a.pgm", TooLarge, {}),
    (b"PK\x03\x04", "a.zip", UnsupportedMedia, {}),
    (b"long enough", "a.txt", TooLarge, {"bytes": 10}),
]


@pytest.mark.parametrize(("data", "name", "fault", "limits"), BAD_FILES)
def test_a_bad_file_is_refused_by_name_and_nothing_is_stored(tmp_path, blobs, data, name, fault, limits):
    with pytest.raises(fault, match=rf"^{name}: .+"):
        drafted(file(tmp_path, name, data), blobs, **limits)
    assert not blobs.held


@pytest.mark.parametrize(
    ("metadata", "fault", "what"),
    [
        ({"year": "2020"}, BadMetadata, "year.*integer"),
        ({"at": "yesterday"}, BadMetadata, "at.*datetime.*yesterday"),
        ({"free": object()}, BadMetadata, "free.*JSON"),
        ({"free": float("nan")}, BadMetadata, "free.*JSON"),
        ({7: "x"}, BadMetadata, "strings"),
        ({"a-b": 1}, BadMetadata, "a-b"),
        ({"free": "\ud800"}, BadMetadata, "surrogate"),
        ({"free": "世" * 30_000}, TooLarge, "QUIVER_MAX_METADATA_BYTES"),
    ],
)
def test_bad_metadata_is_refused_by_name_and_nothing_is_stored(tmp_path, blobs, metadata, fault, what):
    found = file(tmp_path, "a.txt", b"text")
    for item in (Found("a.txt", found.path, metadata), Inline("a.txt", "text", metadata)):
        with pytest.raises(fault, match=rf"(?s)^a\.txt: .*{what}"):
            drafted(item, blobs)
    assert not blobs.held


def test_metadata_nested_beyond_reason_is_refused(blobs):
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadMetadata, match="nested"):
        drafted(Inline("a", "text", {"deep": deep}), blobs)


@pytest.mark.parametrize(
    ("text", "fault"), [("", EmptyMedia), (" \n", EmptyMedia), ("a\0b", CorruptMedia), ("x" * 11, TooLarge)]
)
def test_a_bad_inline_text_is_refused_and_nothing_is_stored(blobs, text, fault):
    with pytest.raises(fault, match=r"^note: "):
        drafted(Inline("note", text), blobs, text_chars=10)
    assert not blobs.held


def test_a_file_that_vanished_is_refused(tmp_path, blobs):
    with pytest.raises(NoSuchPath, match=r"^sub/gone\.jpg: there is no such file"):
        drafted(Found("sub/gone.jpg", tmp_path / "gone.jpg"), blobs)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(NoSuchPath, match="dangling"):
        drafted(Found("dangling", tmp_path / "dangling"), blobs)


@pytest.mark.timeout(5)
def test_what_is_no_regular_file_is_refused_and_hangs_nothing(tmp_path, blobs):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "named pipe"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
        with pytest.raises(UnsupportedMedia, match=f"^x: it is a {what}"):
            drafted(Found("x", path), blobs)


@pytest.mark.timeout(5)
def test_a_file_swapped_for_a_pipe_while_it_is_opened_hangs_nothing(tmp_path, blobs, monkeypatch):
    path = tmp_path / "file"
    os.mkfifo(path)
    regular = file(tmp_path, "regular", b"x").path.stat()
    monkeypatch.setattr(Path, "stat", lambda self: regular)
    with pytest.raises(UnsupportedMedia, match="named pipe"):
        drafted(Found("file", path), blobs)


@pytest.mark.parametrize(
    "path", [Path("a\0b"), Path("x" * 300), Path("a.txt/b")], ids=["nul", "too long", "file for a folder"]
)
def test_a_path_no_file_can_have_is_refused(tmp_path, blobs, path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(NoSuchPath, match=r"^x: "):
        drafted(Found("x", tmp_path / path), blobs)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, blobs, monkeypatch):
    item = file(tmp_path, "secret", b"x")
    item.path.chmod(0)
    assert stat.S_IMODE(item.path.stat().st_mode) == 0

    def denied(*_: object) -> int:  # root reads everything, so the system's refusal is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(NoSuchPath, match=r"^secret: cannot be opened \(Permission denied\)"):
        drafted(item, blobs)


def test_a_disk_that_fails_while_reading_is_refused_by_name(blobs):
    class Failing(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(CorruptMedia, match="Input/output error"):
        draft_stream(Failing(b"x"), external_id="x", name="x", metadata={}, blobs=blobs, fields={}, limits=Limits())


def test_a_blob_store_that_is_down_is_not_the_files_fault(tmp_path, blobs, monkeypatch):
    def down(_: BinaryIO) -> None:
        raise BlobsDown

    monkeypatch.setattr(blobs, "put", down)
    with pytest.raises(BlobsDown):
        drafted(file(tmp_path, "a.txt", b"x"), blobs)


@given(st.binary(max_size=200), st.sampled_from(["a.txt", "a.jpg"]))
def test_any_file_is_stored_whole_or_refused_and_not_stored(tmp_path_factory, data, name):
    blobs = Dict()
    try:
        got = drafted(file(tmp_path_factory.mktemp("file"), name, data), blobs)
    except Refused:
        assert not blobs.held
    else:
        assert blobs.held == {got.digest: data}
