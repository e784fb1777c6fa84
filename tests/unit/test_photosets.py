"""The evaluation's pure parts: captions, Qt resources, queries, intervals."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.categories import categories
from benchmarks.debian import NoPackage, debian
from benchmarks.photosets import Photo, by_caption, captions, colours, flat, spoken
from benchmarks.quality import Task, guessed, measured
from benchmarks.rcc import members
from benchmarks.report import Row, bootstrap, interval, table


def resource(files: dict[str, bytes], *, packed: bool) -> bytes:
    """A flat .rcc, version 2, as Qt's rcc writes it."""
    names, offsets = b"", []
    for name in files:
        offsets.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    blobs, tree = b"", struct.pack(">IHIIQ", 0, 2, len(files), 1, 0)
    for offset, data in zip(offsets, files.values(), strict=True):
        held = struct.pack(">I", len(data)) + zlib.compress(data) if packed else data
        tree += struct.pack(">IHHHIQ", offset, 1 if packed else 0, 0, 0, len(blobs), 0)
        blobs += struct.pack(">I", len(held)) + held
    head = 20
    return b"qres" + struct.pack(">4I", 2, head, head + len(tree), head + len(tree) + len(blobs)) + tree + blobs + names


@pytest.mark.parametrize("packed", [False, True])
def test_every_file_of_a_qt_resource_is_read_back(packed: bool) -> None:
    files = {"one.txt": b"first" * 40, "zwei.webp": b"", "图.png": b"\x00\xff"}
    assert dict(members(resource(files, packed=packed))) == files


def test_what_is_no_qt_resource_is_refused() -> None:
    with pytest.raises(ValueError, match="qres"):
        list(members(b"PK\x03\x04" + bytes(40)))


def test_a_stamp_is_captioned_in_english_and_simplified_chinese() -> None:
    assert captions("An owl.\nfr.utf8=Un hibou.\nzh_CN.utf8=猫头鹰\nzh_TW.utf8=貓頭鷹\n") == ("An owl.", "猫头鹰")
    assert captions("An owl.\n") == ("An owl.", "")
    assert captions("") == ("", "")


@pytest.mark.parametrize(
    ("stem", "said"),
    [("hammer3", "hammer"), ("northern_harrier", "northern harrier"), ("measuringTape2", "measuring tape")],
)
def test_a_file_name_is_spoken(stem: str, said: str) -> None:
    assert spoken(stem) == said


def test_a_drawing_has_few_colours_and_transparency_is_white() -> None:
    drawn = Image.new("RGBA", (40, 40), (200, 0, 0, 255))
    drawn.paste((0, 0, 0, 0), (0, 0, 20, 40))
    out = io.BytesIO()
    drawn.save(out, "PNG")
    assert colours(out.getvalue()) == 1
    pixels = np.asarray(flat(out.getvalue()))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 30].tolist() == [200, 0, 0]


def test_no_pattern_serves_both_parts_and_every_query_is_asked_once() -> None:
    tuning, test = categories("tuning"), categories("test")
    assert len(test) >= 50
    for said in ([c.english for c in tuning + test], [c.chinese for c in tuning + test]):
        assert len(set(said)) == len(said)
    assert not {p for c in tuning for p in c.relevant} & {p for c in test for p in c.relevant}


def test_a_category_is_what_its_patterns_match() -> None:
    (bulb,) = [c for c in categories("test") if c.english == "a light bulb"]
    keys = ["tuxpaint/household/Lightbulb", "gcompris/categorization/others/bulb", "tuxpaint/plants/tulip_bulb"]
    assert bulb.among(keys) == set(keys[:2])


def test_a_package_that_cannot_be_had_says_what_to_do(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPackage, match=r"apt-get is not here.*unpack some-package at"):
        debian("some-package", tmp_path)
    (tmp_path / "debian/some-package").mkdir(parents=True)
    assert debian("some-package", tmp_path) == tmp_path / "debian/some-package"


def test_measures_are_of_every_query_in_order_and_no_answer_is_zero() -> None:
    from ir_measures import Success, nDCG

    task = Task("t", (nDCG @ 10, Success @ 1), {"best": ["a"], "second": ["b"], "none": ["c"]})
    values = measured(task, {"best": ["a", "b"], "second": ["a", "b"], "none": []})
    assert values["Success@1"] == [1.0, 0.0, 0.0]
    assert values["nDCG@10"] == pytest.approx([1.0, 1 / np.log2(3), 0.0])
    assert 0.4 < np.mean(guessed(task, ["a", "b"])["Success@1"]) * 3 / 2 < 0.6


def test_an_interval_holds_its_mean_and_is_the_same_every_time() -> None:
    values = [0.0, 1.0, 1.0, 0.5] * 10
    mean, low, high = bootstrap(values)
    assert mean == pytest.approx(0.625)
    assert low < mean < high
    assert bootstrap(values) == (mean, low, high)
    assert "| one | 1.000 [1.00, 1.00] |" in table([Row("one", interval({"AP": [1.0, 1.0]}))])


def test_photos_of_one_caption_are_right_together() -> None:
    held = [Photo("a/1", b"", "cat", ""), Photo("a/2", b"", "cat", "猫")]
    assert by_caption(held, lambda photo: photo.english) == {"cat": ["a/1", "a/2"]}
    assert by_caption(held, lambda photo: photo.chinese) == {"猫": ["a/2"]}
