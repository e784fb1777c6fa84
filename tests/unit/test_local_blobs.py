"""Blobs over a folder: stored once, whole or not at all, and gone when nobody needs them."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.blobs.local import CHUNK, LocalBlobs
from core.errors import BlobsDown, NoSuchAsset
from core.ports import Blobs
from core.types import Digest

ABSENT = Digest("0" * 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root: Path) -> Blobs:
    return LocalBlobs(root)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def read(blobs: Blobs, digest: Digest) -> bytes:
    with blobs.open(digest) as source:
        return source.read()


@given(data=st.binary(max_size=3000))
def test_what_was_put_is_read_back_under_its_sha256(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    blobs = LocalBlobs(tmp_path_factory.mktemp("blobs"))
    digest, size = blobs.put(io.BytesIO(data))
    assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert read(blobs, digest) == data


@pytest.mark.parametrize("size", [0, CHUNK - 1, CHUNK, CHUNK + 1])
def test_a_blob_may_be_of_any_size(blobs: Blobs, size: int) -> None:
    data = os.urandom(size)
    digest, counted = blobs.put(io.BytesIO(data))
    assert counted == size
    assert read(blobs, digest) == data


def test_the_same_bytes_are_stored_once(blobs: Blobs, root: Path) -> None:
    assert blobs.put(io.BytesIO(b"same")) == blobs.put(io.BytesIO(b"same"))
    assert len(files(root)) == 1


def test_the_same_bytes_put_at_once_are_stored_once(blobs: Blobs, root: Path) -> None:
    got: list[tuple[Digest, int]] = []
    threads = [threading.Thread(target=lambda: got.append(blobs.put(io.BytesIO(b"x" * 99_999)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == len(files(root)) == 1
    assert read(blobs, got[0][0]) == b"x" * 99_999


class Torn(io.BytesIO):
    """A stream that breaks off."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(10)
        if not data:
            raise OSError(5, "Input/output error")
        return data


def test_a_stream_that_breaks_off_leaves_nothing_behind(blobs: Blobs, root: Path) -> None:
    with pytest.raises(BlobsDown, match="Input/output error"):
        blobs.put(Torn(b"a" * 30))
    assert files(root) == []


def test_a_blob_that_is_not_there_is_said_to_be_missing(blobs: Blobs) -> None:
    assert not blobs.has(ABSENT)
    assert blobs.path(ABSENT) is None
    with pytest.raises(NoSuchAsset, match="ingest the file again"):
        blobs.open(ABSENT)


def test_a_blob_has_a_path(blobs: Blobs) -> None:
    digest, _ = blobs.put(io.BytesIO(b"here"))
    path = blobs.path(digest)
    assert path is not None
    assert path.read_bytes() == b"here"


def test_what_is_discarded_is_out_of_sight_until_it_is_restored(blobs: Blobs) -> None:
    digest, _ = blobs.put(io.BytesIO(b"a"))
    blobs.discard(digest)
    assert not blobs.has(digest)
    assert blobs.path(digest) is None
    with pytest.raises(NoSuchAsset):
        blobs.open(digest)
    blobs.restore(digest)
    assert read(blobs, digest) == b"a"


def test_what_is_erased_is_gone_for_good(blobs: Blobs, root: Path) -> None:
    digest, _ = blobs.put(io.BytesIO(b"a"))
    blobs.discard(digest)
    blobs.erase(digest)
    blobs.restore(digest)
    assert not blobs.has(digest)
    assert files(root) == []


def test_erasing_takes_only_what_was_discarded(blobs: Blobs) -> None:
    digest, _ = blobs.put(io.BytesIO(b"a"))
    blobs.erase(digest)
    assert blobs.has(digest)


def test_bytes_put_again_after_a_discard_are_there_whatever_follows(blobs: Blobs) -> None:
    digest, _ = blobs.put(io.BytesIO(b"a"))
    blobs.discard(digest)
    blobs.put(io.BytesIO(b"a"))
    blobs.erase(digest)
    assert read(blobs, digest) == b"a"


@pytest.mark.parametrize("act", ["discard", "restore", "erase"])
def test_letting_go_of_what_is_not_there_is_harmless(blobs: Blobs, act: str) -> None:
    getattr(blobs, act)(ABSENT)
    digest, _ = blobs.put(io.BytesIO(b"a"))
    for _ in range(2):
        getattr(blobs, act)(digest)


def test_another_instance_sees_the_same(blobs: Blobs, root: Path) -> None:
    digest, _ = blobs.put(io.BytesIO(b"a"))
    assert read(LocalBlobs(root), digest) == b"a"


def test_a_folder_that_cannot_be_made_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BlobsDown, match="cannot be read or written"):
        LocalBlobs(tmp_path / "file" / "blobs")


def test_a_disk_that_is_full_is_down_and_leaves_nothing(
    blobs: Blobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BlobsDown, match="No space left"):
            blobs.put(io.BytesIO(b"a"))
    assert files(root) == []
    digest, _ = blobs.put(io.BytesIO(b"a"))
    assert blobs.has(digest)
