"""WebDataset tars."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CorruptMedia, Refused, TooLarge, UnsupportedMedia
from ingest.limits import Limits
from ingest.sources import tar
from ingest.sources.paths import items
from ingest.sources.tar import read_tar
from ingest.sources.upload import Upload

Member = tuple[str | tarfile.TarInfo, bytes]


def made(members: Iterable[Member], *, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]  # a mode of writing
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read(data: bytes, limits: Limits | None = None) -> list[Upload | Refused]:
    return list(read_tar(io.BytesIO(data), "t.tar", limits or Limits()))


def uploads(said: Iterable[Upload | Refused]) -> dict[str, tuple[bytes, dict[str, object]]]:
    return {one.external_id: (one.source.read(), dict(one.metadata)) for one in said if isinstance(one, Upload)}


def faults(said: Iterable[Upload | Refused]) -> list[str]:
    return [str(one) for one in said if isinstance(one, Refused)]


SAMPLES: list[Member] = [
    ("0001.jpg", b"J" * 700),
    ("0001.txt", b"a cat\n"),
    ("0001.json", b'{"year": 2020, "caption": "not this"}'),
    ("0001.cls", b"3"),
    ("train/0002.seg.png", b"P"),
    ("train/0002.wav", b"W"),
    ("train/0002.txt", b"two things"),
    ("0003.txt", b"a text alone"),
    ("0003.json", b'{"lang": "en"}'),
    ("0004.json", b'{"alone": true}'),
]
EXPECTED = {
    "t.tar/0001.jpg": (b"J" * 700, {"year": 2020, "caption": "a cat", "cls": 3}),
    "t.tar/train/0002.seg.png": (b"P", {"caption": "two things"}),
    "t.tar/train/0002.wav": (b"W", {"caption": "two things"}),
    "t.tar/0003.txt": (b"a text alone", {"lang": "en"}),
    "t.tar/0004.json": (b'{"alone": true}', {}),
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_one_key_are_a_sample(mode, form):
    said = read(made(SAMPLES, mode=mode, form=form))
    assert not faults(said)
    assert uploads(said) == EXPECTED


def test_an_upload_can_be_read_again_for_as_long_as_it_is_held():
    said = read(made(SAMPLES))
    for _ in range(2):
        for one in said:
            assert isinstance(one, Upload)
            one.source.seek(0)
        assert uploads(said) == EXPECTED


def test_long_names_in_any_script_are_ids():
    name = "ü/" + "x" * 150 + "/写真.jpg"
    assert list(uploads(read(made([(name, b"J")])))) == [f"t.tar/{name}"]


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("../../etc/passwd.jpg", "leads out of the archive"),
        ("/etc/passwd.jpg", "leads out of the archive"),
        ("a/../../b.jpg", "leads out of the archive"),
        (special("l.jpg", tarfile.SYMTYPE, "/etc/passwd"), "it is a link"),
        (special("h.jpg", tarfile.LNKTYPE, "0001.jpg"), "it is a link"),
        (special("c.jpg", tarfile.CHRTYPE), "no regular file"),
        (special("b.jpg", tarfile.BLKTYPE), "no regular file"),
        (special("f.jpg", tarfile.FIFOTYPE), "no regular file"),
    ],
)
def test_what_is_no_plain_file_inside_is_named_and_stops_no_other(member, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = read(made([("a.png", b"A"), (member, b"X"), ("b.png", b"B")]))
    [fault] = [one for one in said if isinstance(one, Refused)]
    assert isinstance(fault, UnsupportedMedia)
    assert says in str(fault)
    assert set(uploads(said)) == {"t.tar/a.png", "t.tar/b.png"}
    assert not list(tmp_path.iterdir())


def test_hidden_members_and_folders_are_skipped():
    said = read(
        made([(special("d", tarfile.DIRTYPE), b""), ("d/._a.jpg", b"x"), (".b/c.jpg", b"x"), ("./a.jpg", b"A")])
    )
    assert uploads(said) == {"t.tar/./a.jpg": (b"A", {})}
    assert not faults(said)


def test_a_sidecar_that_cannot_be_read_costs_its_sample_alone():
    said = read(made([("a.jpg", b"A"), ("a.json", b"{"), ("b.jpg", b"B"), ("b.txt", b"\xff\xfe\xfd")]))
    assert not uploads(said)
    assert [text.partition(": ")[0] for text in faults(said)] == ["t.tar/a.json", "t.tar/b.txt"]
    said = read(made([("a.jpg", b"A"), ("a.json", b"{"), ("b.jpg", b"B")]))
    assert set(uploads(said)) == {"t.tar/b.jpg"}


def test_every_cut_gives_the_whole_samples_before_it_and_says_so():
    data = made(SAMPLES)
    for cut in range(0, data.rindex(b'{"alone"') + 512, 256):
        said = read(data[:cut])
        got = uploads(said)
        assert got == {name: EXPECTED[name] for name in got}, cut
        assert cut < 512 or "t.tar: damaged after" in faults(said)[-1], cut
    packed = made(SAMPLES, mode="w:gz")
    for cut in range(2, len(packed), 5):
        assert any(isinstance(one, CorruptMedia) for one in read(packed[:cut]))


def test_a_header_damaged_in_the_middle_is_told():
    data = bytearray(made(SAMPLES))
    data[2560 + 2] ^= 0x55  # in the name of the third member
    said = read(bytes(data))
    assert not uploads(said)
    assert "t.tar: damaged after 0001.txt" in faults(said)[0]


@given(st.data())
def test_any_damage_gives_uploads_and_faults_and_nothing_else(data):
    packed = data.draw(st.booleans())
    good = bytearray(made(SAMPLES, mode="w:gz" if packed else "w"))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(good), 8192) - 1))
        good[at] = data.draw(st.integers(0, 255))
    for one in read(bytes(good[: data.draw(st.integers(0, len(good)))])):
        assert isinstance(one, (Upload, Refused))


def test_a_member_over_the_limit_is_named_and_skipped():
    limits = Limits(bytes=100, media_bytes=100)
    said = read(made([("a.jpg", b"A" * 101), ("b.jpg", b"B" * 100)]), limits)
    assert set(uploads(said)) == {"t.tar/b.jpg"}
    assert "t.tar/a.jpg: 101 bytes" in faults(said)[0]


def test_a_bomb_is_not_unpacked():
    limits = Limits(bytes=1000, media_bytes=1000)
    bomb = made([("a.jpg", b"A"), ("b.jpg", bytes(1 << 24)), ("c.jpg", b"C")], mode="w:gz")
    said = read(bomb, limits)
    assert len(bomb) < 50_000
    assert "what follows is not read, for it may be a bomb" in faults(said)[-1]


def test_a_sample_of_countless_members_is_not_held():
    said = read(made([(f"a.{at}.jpg", b"A") for at in range(100)]))
    assert len(uploads(said)) == tar.MEMBERS
    assert all(isinstance(one, TooLarge) for one in said if isinstance(one, Refused))
    limits = Limits(bytes=10, media_bytes=10)
    assert len(uploads(read(made([(f"a.{at}.jpg", b"12345") for at in range(5)]), limits))) == 2


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_is_not_read_into_memory(kind):
    info = special("x", kind)
    info.size = 8 << 30
    huge = info.tobuf(format=tarfile.GNU_FORMAT)
    [fault] = read(huge + bytes(4096))
    assert isinstance(fault, CorruptMedia)
    assert "a header says 8,589,934,592 bytes" in str(fault)


def test_what_is_no_tar_is_told(tmp_path: Path):
    for data in (b"", b"garbage" * 500, gzip.compress(b"no tar" * 500), b"\x1f\x8b\x08" + os.urandom(50)):
        said = read(data)
        assert len(said) == 1
        assert isinstance(said[0], CorruptMedia), data[:20]
    (tmp_path / "shard.tar").mkdir()
    assert list(items([tmp_path / "shard.tar"])) == []


def test_a_tar_given_by_name_is_read_and_one_in_a_folder_is_a_file(tmp_path: Path):
    (tmp_path / "shard.tar").write_bytes(made(SAMPLES))
    [file] = items([tmp_path])
    assert not isinstance(file, Refused)
    assert file.external_id == "shard.tar"
    assert [one.external_id for one in items([tmp_path / "shard.tar"]) if not isinstance(one, Refused)] == [
        name.replace("t.tar", "shard.tar") for name in EXPECTED
    ]
