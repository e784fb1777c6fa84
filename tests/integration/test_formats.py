"""A folder with every format and what becomes of files: each ends indexed, or failed for the right reason."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from core.encoders import registry
from core.types import Modality
from quiver import Quiver
from quiver.reports import IngestReport
from tests.doubles import hearing, toy_parts
from tests.heic import heic
from tests.integration.test_cli import Toy, call, use_toy
from tests.media import BLUE, FILMS, GREEN, HIGH, RED, SOUNDS, film, sound, tones
from tests.papers import docx, epub, odt, paragraphs, pdf
from tests.photos import huge_png, photo, picture, saved, turned

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 90 60"'
CORRUPT, UNSUPPORTED, LARGE = "CorruptMedia", "UnsupportedMedia", "TooLarge"


@cache
def good() -> dict[str, bytes]:
    """A small file of every format, by its name."""
    frames = [PIL.Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN, BLUE)]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 300}
    deep = PIL.Image.fromarray((np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16))
    clear = picture().convert("RGBA")
    clear.putalpha(90)
    return {
        **{f"photo.{kind.lower()}": photo(kind, 320, 240) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "PPM")},
        **{f"rare.{kind.lower()}": saved(picture(64, 64), kind) for kind in ("ICO", "QOI", "DDS", "SGI", "PCX", "TGA")},
        "rare.icns": saved(picture(64, 64), "ICNS"),
        "scan.tif": saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "photo.jp2": saved(picture(320, 240), "JPEG2000"),
        "photo.avif": saved(picture(320, 240), "AVIF"),
        "photo.heic": heic(np.asarray(picture(128, 96))),
        "layers.psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3) + bytes(12) + b"\0\0" + bytes(range(192)),
        "drawing.svg": f'<?xml version="1.0"?><svg {SVG}><rect width="90" height="60" fill="red"/></svg>'.encode(),
        **{f"moving.{kind.lower()}": saved(frames[0], kind, **moving) for kind in ("GIF", "WEBP", "PNG", "AVIF")},
        "sideways.jpg": turned(6),
        "print.jpg": saved(picture().convert("CMYK"), "JPEG"),
        "deep.png": saved(deep, "PNG"),
        "clear.png": saved(clear.quantize(8), "PNG", transparency=bytes(range(8))),
        "strip.png": photo("PNG", 9_000, 12),
        **{f"sound.{kind}": sound(kind, tones(HIGH, seconds=3.0)) for kind in SOUNDS},
        **{f"film.{kind}": film(kind, seconds=2.0, rate=25 if kind == "mpg" else 10) for kind in FILMS},
        "silent.mp4": film("mp4", (GREEN,), pitches=()),
        "note.txt": b"a red cat",
        "note.md": b"# Dog\n\nA green dog.",
        "page.html": b"<!doctype html><html><body><p>A blue rocket.</p></body></html>",
        "code.py": b"def coffee():\n    return 'black'\n",
        "letter.docx": docx(paragraphs("A cat.")),
        "letter.odt": odt("<text:p>A dog.</text:p>"),
        "book.epub": epub(["A rocket."]),
        "paper.pdf": pdf(["Coffee."]),
        "named.mp3": photo("PNG"),  # a name is only a hint
        "nameless": sound("flac"),
    }


def cut(data: bytes, share: float) -> bytes:
    return data[: max(1, int(len(data) * share))]


def noisy(data: bytes, start: float, end: float) -> bytes:
    """The bytes with noise in place of a stretch."""
    a, b = int(len(data) * start), int(len(data) * end)
    return data[:a] + random.Random(len(data)).randbytes(b - a) + data[b:]


def entities() -> bytes:
    grown = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    return f'<!DOCTYPE svg [<!ENTITY a "{"a" * 100}">{grown}]><svg {SVG}><text>&i;</text></svg>'.encode()


def uses() -> bytes:
    groups = "".join(f'<g id="g{i}">' + f'<use xlink:href="#g{i - 1}"/>' * 10 + "</g>" for i in range(1, 10))
    return f'<svg {SVG}><defs><g id="g0"><path d="M0 0h9"/></g>{groups}</defs><use xlink:href="#g9"/></svg>'.encode()


@cache
def bad() -> dict[str, tuple[bytes, frozenset[str]]]:
    """Damaged, lying and hostile files, and the classes of faults that each may end with."""
    made: dict[str, tuple[bytes, frozenset[str]]] = {}

    def add(name: str, data: bytes, *kinds: str) -> None:
        assert name not in made
        made[name] = data, frozenset(kinds)

    files = good()
    still = ("jpeg", "png", "gif", "webp", "bmp", "ppm", "jp2", "avif", "heic")
    for kind in still:
        add(f"half.{kind}", cut(files[f"photo.{kind}"], 0.5), CORRUPT)
        add(f"head.{kind}", files[f"photo.{kind}"][:20], CORRUPT, UNSUPPORTED)
        add(f"zeroed.{kind}", bytes(12) + files[f"photo.{kind}"][12:], CORRUPT, UNSUPPORTED)
    for kind in ("ico", "qoi", "sgi"):
        add(f"half.{kind}", cut(files[f"rare.{kind}"], 0.5), CORRUPT)
    add("half.tif", cut(files["scan.tif"], 0.5), CORRUPT)
    add("half.psd", cut(files["layers.psd"], 0.5), CORRUPT)
    add("half.svg", cut(files["drawing.svg"], 0.7), CORRUPT)
    add("noisy.png", noisy(files["photo.png"], 0.3, 0.6), CORRUPT)
    for kind in ("wav", "flac", "m4a", "aiff", "mka"):
        for share in (0.2, 0.7):
            add(f"cut-{share}.{kind}", cut(files[f"sound.{kind}"], share), CORRUPT)
    add("noisy.flac", noisy(files["sound.flac"], 0.2, 0.8), CORRUPT)
    add("noisy.mp3", noisy(files["sound.mp3"], 0.0, 0.99), CORRUPT, UNSUPPORTED)
    for kind in ("mp4", "mov", "mkv", "webm", "avi", "flv", "wmv"):
        for share in (0.01, 0.3, 0.7):
            add(f"cut-{share}.{kind}", cut(files[f"film.{kind}"], share), CORRUPT)
        add(f"zeroed.{kind}", bytes(24) + files[f"film.{kind}"][24:], CORRUPT, UNSUPPORTED)
    add("noisy.mkv", noisy(files["film.mkv"], 0.05, 0.9), CORRUPT)
    add("noisy.mp4", noisy(files["film.mp4"], 0.2, 0.99), CORRUPT)
    for name in ("lie.jpg", "lie.mp3", "lie.mp4", "lie.heic"):
        add(name, b"<html><body>404 Not Found</body></html>", CORRUPT)
    add("noise.jpg", random.Random(1).randbytes(4000), CORRUPT)
    add("noise.bin", b"\1" + random.Random(2).randbytes(4000), UNSUPPORTED)
    add("empty.png", b"", "EmptyMedia")
    add("empty.wav", sound("wav", np.zeros((1, 0), np.float32)), "EmptyMedia", CORRUPT)
    add("archive.zip", b"PK\3\4" + bytes(40), UNSUPPORTED)
    add("playlist.mp4", b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n", CORRUPT)
    add("bomb.png", huge_png(9_000, 9_000), LARGE)
    add("bomb.ppm", b"P6 90000 90000 255\n" + bytes(99), LARGE)
    inside = huge_png(3_000, 3_000)
    add("bomb.ico", struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside, LARGE, CORRUPT)
    add("entities.svg", entities(), LARGE, CORRUPT)
    add("uses.svg", uses(), LARGE, CORRUPT)
    add("deep.svg", f"<svg {SVG}>{'<g>' * 50_000}{'</g>' * 50_000}</svg>".encode(), CORRUPT)
    add("long.flac", sound("flac", np.zeros((1, 8_000 * 61), np.float32), rate=8_000), LARGE)
    add("wide.mp4", film("mp4", (RED,), seconds=0.2, size=(1280, 960), pitches=()), LARGE)
    return made


class Hearing(Toy):
    """Stands for the entry point of the family `hearing`."""

    def load(self) -> Any:
        return hearing


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    limits = {"max_seconds": 60, "max_pixels": 1_100_000, "decode_cpu_seconds": 10}
    with Quiver(toy_parts(tmp_path / "data", profile="hearing", decode="cage", **limits)) as opened:
        yield opened


def ingested(quiver: Quiver, folder: Path) -> tuple[IngestReport, dict[str, str]]:
    """The report, and the class of the fault of each file that failed."""
    report = quiver.ingest(folder, collection="c")
    failed = {one.name: one.kind for one in report.refused}
    return report, failed | {one.external_id: one.kind for one in report.failures}


@pytest.mark.timeout(240)
def test_every_file_ends_indexed_or_failed_for_the_right_reason(quiver: Quiver, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    assert len(bad()) >= 60
    for name, data in [*good().items(), *((name, data) for name, (data, _) in bad().items())]:
        (folder / name).write_bytes(data)
    report, failed = ingested(quiver, folder)
    allowed = {name: kinds for name, (_, kinds) in bad().items()}
    assert {name: kind for name, kind in failed.items() if kind not in allowed.get(name, ())} == {}
    assert set(failed) == set(bad())
    assert report.indexed == len(good())
    again, failed_again = ingested(quiver, folder)
    assert (again.indexed, failed_again) == (0, failed)  # a verdict is the file's, not the day's


def test_what_was_made_of_each_kind_is_found_by_it(
    quiver: Quiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("film.mp4", "sound.flac", "moving.gif", "note.txt"):
        (folder / name).write_bytes(good()[name])
    report, failed = ingested(quiver, folder)
    assert (report.indexed, failed) == (4, {})
    [film_hit] = quiver.search("c", "green", modality="video").hits
    [match] = [match for match in film_hit.matches if match.space == "colour"]
    assert match.span is not None
    assert (match.span.start, match.span.end) == pytest.approx((2.0, 4.0), abs=0.3)
    [heard] = quiver.search("c", "high", modality="audio").hits
    assert heard.external_id == "sound.flac"
    by_sound = quiver.search("c", audio=sound("mp3", tones(HIGH)), modality=["audio", "video"])
    assert by_sound.hits[0].external_id == "sound.flac"
    assert {hit.modality for hit in by_sound.hits} == {Modality.AUDIO, Modality.VIDEO}
    (tmp_path / "call.mp3").write_bytes(sound("mp3", tones(HIGH)))
    use_toy(monkeypatch, tmp_path / "data")
    monkeypatch.setattr(registry, "families", lambda: {"hearing": Hearing()})
    quiver.close()  # the folder is one process's at a time
    ran = call(monkeypatch, capsys, "search", "--audio", tmp_path / "call.mp3", "-m", "audio", "-m", "video", "-c", "c")
    assert ran.status == 0, ran.err
    assert re.search(r"1 .* audio .* sound\.flac .* 0:00–0:03", ran.out)
    assert quiver.thumbnail("c", "film.mp4")[:2] == b"\xff\xd8"
    page = quiver.contact_sheet("c", [("green", quiver.search("c", "green", modality=["image", "video"]))])
    assert page.count("data:image/jpeg") == 2
    page = quiver.contact_sheet("c", [("green", quiver.search("c", "green", modality="video"))])
    assert "0:02–0:04" in page
