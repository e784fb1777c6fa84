"""Files beside an asset that say what it is."""

from __future__ import annotations

import json

import pytest

from core.errors import BadMetadata, CorruptMedia, NoSuchPath, Refused
from ingest.limits import Limits
from ingest.sources.folder import Found, one, walk
from ingest.sources.sidecar import MOST, described, paired, with_sidecars

LIMITS = Limits()
VTT = """WEBVTT

NOTE not spoken

1
00:00:01.000 --> 00:00:02.000 align:start
<v Roger>Hello <i>there</i>

00:02.000 --> 00:03.000
Hello there
you &amp; me
"""
SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\n<i>Good</i> {\\an8}evening\n\n2\n00:00:02,500 --> 00:00:03,000\nand good night\n"
)


def files(folder, **said: str):
    for name, text in said.items():
        (folder / name.replace("__", "/").replace("_", ".")).write_text(text)


def known(folder):
    return {
        each.external_id: dict(with_sidecars(each.metadata, each.sidecars, LIMITS))
        for each in walk(folder, sidecars=True)
        if isinstance(each, Found)
    }


def test_a_sidecar_is_named_after_its_asset_or_after_the_whole_file(tmp_path):
    files(tmp_path, photo_jpg="x", photo_txt=" a red cat\n", other_png="x", other_png_txt="a dog", film_mp4="x")
    files(tmp_path, film_vtt=VTT, talk_mp3="x", talk_srt=SRT, photo_json=json.dumps({"year": 2020, "caption": "no"}))
    assert known(tmp_path) == {
        "film.mp4": {"caption": "Hello there\nyou & me"},
        "other.png": {"caption": "a dog"},
        "photo.jpg": {"year": 2020, "caption": "a red cat"},
        "talk.mp3": {"caption": "Good evening\nand good night"},
    }


def test_a_text_with_nothing_to_stand_beside_is_an_asset_itself(tmp_path):
    files(tmp_path, letter_txt="dear", photo_jpg="x", photograph_txt="not of photo.jpg", data_json="{}")
    assert known(tmp_path) == {"data.json": {}, "letter.txt": {}, "photo.jpg": {}, "photograph.txt": {}}
    assert [each.external_id for each in walk(tmp_path) if isinstance(each, Found)] == [
        "data.json",
        "letter.txt",
        "photo.jpg",
        "photograph.txt",
    ]


def test_without_being_asked_for_a_sidecar_is_a_file_like_others(tmp_path):
    files(tmp_path, photo_jpg="x", photo_txt="a cat")
    assert [(each.external_id, each.sidecars) for each in walk(tmp_path) if isinstance(each, Found)] == [
        ("photo.jpg", ()),
        ("photo.txt", ()),
    ]


def test_a_file_given_by_name_has_its_sidecars_too(tmp_path):
    files(tmp_path, photo_jpg="x", photo_txt="a cat", photo_jpg_json='{"n": 1}', letter_txt="dear")
    [photo] = one(tmp_path / "photo.jpg", sidecars=True)
    [letter] = one(tmp_path / "letter.txt", sidecars=True)
    assert isinstance(photo, Found)
    assert isinstance(letter, Found)
    assert with_sidecars({}, photo.sidecars, LIMITS) == {"n": 1, "caption": "a cat"}
    assert letter.sidecars == ()


def test_what_is_known_of_an_asset_stays(tmp_path):
    files(tmp_path, photo_jpg="x", photo_txt="a cat")
    [photo] = one(tmp_path / "photo.jpg", sidecars=True)
    assert isinstance(photo, Found)
    assert with_sidecars({"caption": "mine"}, photo.sidecars, LIMITS) == {"caption": "mine"}


@pytest.mark.parametrize(
    ("name", "data", "fault", "says"),
    [
        ("a.json", b"{", BadMetadata, "not JSON"),
        ("a.json", b'{"x": NaN}', BadMetadata, "NaN"),
        ("a.json", b"[1]", BadMetadata, "JSON object"),
        ("a.json", b"[" * 99_999, BadMetadata, "not JSON"),
        ("a.txt", b"caf\xe9 au lait", CorruptMedia, "UTF-8"),
        ("a.txt", b"  \n", Refused, "empty"),
        ("a.vtt", b"no subtitles", CorruptMedia, "no subtitles in the form of VTT"),
        ("a.srt", b"1\n00:00:01,000 --> x\n", CorruptMedia, "no subtitles in the form of SRT"),
        ("a.txt", b"x" * (MOST + 1), BadMetadata, "no caption"),
    ],
)
def test_a_sidecar_that_cannot_be_read_is_a_fault(name, data, fault, says):
    with pytest.raises(fault, match=says):
        described(name, data, LIMITS)


def test_a_fault_names_the_sidecar_even_when_it_is_gone(tmp_path):
    files(tmp_path, photo_jpg="x", photo_json="{")
    [photo] = one(tmp_path / "photo.jpg", sidecars=True)
    assert isinstance(photo, Found)
    with pytest.raises(BadMetadata, match=r"its sidecar photo\.json: not JSON"):
        with_sidecars({}, photo.sidecars, LIMITS)
    (tmp_path / "photo.json").unlink()
    with pytest.raises(NoSuchPath, match=r"its sidecar photo\.json"):
        with_sidecars({}, photo.sidecars, LIMITS)


def test_names_are_paired_within_their_folder():
    assert paired(["d/a.jpg", "d/a.txt", "e/a.txt", "a.tar.gz", "a.tar.txt"]) == {
        "d/a.jpg": ["d/a.txt"],
        "a.tar.gz": ["a.tar.txt"],
        "e/a.txt": [],
    }
