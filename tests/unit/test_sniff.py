"""What a file is, by its content."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CorruptMedia, EmptyMedia, Misconfigured, Refused, TooLarge, UnsupportedMedia
from core.types import Modality
from ingest.kinds import is_svg, kind_of
from ingest.limits import MOST_PIXELS, Limits
from ingest.sniff import HEAD, Sniffed, sniff
from tests.photos import KINDS, huge_png, photo

LIMITS = Limits()


def sniffed(data: bytes, name: str = "thing", limits: Limits = LIMITS) -> Sniffed:
    return sniff(io.BytesIO(data), name=name, limits=limits)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_known_by_its_bytes_whatever_it_is_called(kind):
    for name in ("a.jpg", "a.png", "a.txt", "a"):
        found = sniffed(photo(kind), name)
        assert found.modality is Modality.IMAGE
        assert found.media_type == ("image/x-portable-anymap" if kind == "PPM" else f"image/{kind.lower()}")


@pytest.mark.parametrize("kind", KINDS)
def test_sniffing_leaves_the_stream_open(kind):
    source = io.BytesIO(photo(kind))
    sniff(source, name="a", limits=LIMITS)
    source.seek(0)
    assert source.read() == photo(kind)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.txt", "text/plain"), ("README.MD", "text/markdown"), ("a.html", "text/html"), ("a.bin", "text/plain")],
)
def test_text_is_utf8_and_its_name_says_only_which_kind(name, media_type):
    assert sniffed("Grüße, 世界\n".encode(), name) == Sniffed(Modality.TEXT, media_type)


@pytest.mark.parametrize(
    "text",
    ["\ufeffwith a mark", "BMW builds cars", "P1 is an incident", "Python is a language", "P6 it says", "MZ", "RIFF"],
)
def test_text_that_begins_like_something_else_is_still_text(text):
    assert sniffed(text.encode()).modality is Modality.TEXT


def test_a_character_cut_by_the_end_of_the_head_is_no_damage():
    text = "x" * (HEAD - 1) + "世界"
    assert sniffed(text.encode()).modality is Modality.TEXT


def test_a_cut_character_at_the_end_of_a_short_file_is_damage():
    with pytest.raises(CorruptMedia, match="byte 3 "):
        sniffed("abc世".encode()[:-1])


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_a_file_with_nothing_in_it_is_refused_as_empty(data):
    with pytest.raises(EmptyMedia):
        sniffed(data)


def test_broken_utf8_is_refused_with_the_offset_and_the_remedy():
    with pytest.raises(CorruptMedia, match=r"byte 3 \(0xe9\).*convert it to UTF-8"):
        sniffed(b"caf\xe9 au lait")


def test_chinese_text_in_another_encoding_is_told_to_convert():
    with pytest.raises(CorruptMedia, match="convert it to UTF-8"):
        sniffed("春天来了，花儿开了。".encode("gb18030"), "poem.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_with_a_byte_order_mark_is_known_whatever_the_encoding(encoding):
    for text in ("hello", "世界" * HEAD):
        assert sniffed(text.encode(encoding), "a.txt") == Sniffed(Modality.TEXT, "text/plain")
    with pytest.raises(CorruptMedia, match=encoding):
        sniffed("hello".encode(encoding)[:-1])


def test_a_page_in_the_encoding_that_it_declares_is_text():
    page = '<meta charset="gb2312"><p>春天来了，花儿开了。'.encode("gb18030")
    assert sniffed(page, "a.html") == Sniffed(Modality.TEXT, "text/html")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        (rb"{\rtf1\ansi hello}", "application/rtf"),
        (b"<!DOCTYPE html><p>x", "text/html"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<html xmlns='x'>", "text/html"),
    ],
)
def test_a_document_is_known_by_its_bytes_whatever_it_is_called(data, media_type):
    for name in ("a.txt", "a.pdf", "a"):
        assert sniffed(data, name) == Sniffed(Modality.TEXT, media_type)


@pytest.mark.parametrize(("name", "media_type"), [("a.py", "text/x-python"), ("Main.JAVA", "text/x-java")])
def test_source_code_is_known_by_its_name(name, media_type):
    assert sniffed(b"x = 1\n", name) == Sniffed(Modality.TEXT, media_type)


def test_a_stray_nul_in_text_is_refused_with_its_offset():
    with pytest.raises(CorruptMedia, match="NUL at byte 200"):
        sniffed(b"a" * 200 + b"\0" + b"b" * 200)


def test_text_named_like_an_image_is_refused_and_quoted():
    with pytest.raises(CorruptMedia, match=r"named like an image \(\.jpg\) but holds text: '<html>404"):
        sniffed(b"<html>404 Not Found</html>", "photo.JPG")


def test_an_image_whose_header_is_gone_is_refused_as_damaged():
    with pytest.raises(CorruptMedia, match="header"):
        sniffed(bytes(64) + photo()[64:], "photo.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_cut_inside_its_header_is_refused_as_damaged(kind):
    with pytest.raises(CorruptMedia):
        sniffed(photo(kind)[:7], f"photo.{'jpg' if kind == 'JPEG' else kind.lower()}")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\x00", "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office document.*password"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (bytes(range(256)) * 4, "neither media nor text"),
    ],
)
def test_other_files_are_refused_by_name_of_what_they_are_and_what_is_supported(data, what):
    with pytest.raises(UnsupportedMedia, match=f"(?s){what}.*supported are images .JPEG, PNG"):
        sniffed(data)


@pytest.mark.parametrize(
    ("head", "modality", "media_type"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image", "image/heic"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image", "image/avif"),
        (b'<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<svg xmlns="x"/>', "image", "image/svg+xml"),
        (b'\xef\xbb\xbf<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"><svg/>', "image", "image/svg+xml"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio", "audio/wav"),
        (b"fLaC\0\0\0\x22", "audio", "audio/flac"),
        (b"ID3\x04\0\0\0\0\0\0", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0", "audio", "audio/mpeg"),
        (b"\xff\xf1\x50\x80\0", "audio", "audio/aac"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", "audio", "audio/mp4"),
        (b"OggS\0\2" + bytes(22) + b"\x01vorbis", "audio", "audio/ogg"),
        (b"OggS\0\2" + bytes(22) + b"\x01vorbisOggS\0\2" + bytes(22) + b"\x80theora", "video", "video/ogg"),
        (b"\x1aE\xdf\xa3\x9fB\x82\x84webm\0\x86\x86A_OPUS", "audio", "audio/x-matroska"),
        (b"\x1aE\xdf\xa3\x9fB\x82\x84webm\0\x86\x86A_OPUS\x86\x85V_VP9", "video", "video/webm"),
        (b"\x1aE\xdf\xa3\x9fB\x82\x88matroska\0", "video", "video/x-matroska"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video", "video/quicktime"),
        (b"RIFF\0\0\0\0AVI LIST", "video", "video/x-msvideo"),
        (b"FLV\1\5\0\0\0\x09", "video", "video/x-flv"),
        ((b"G" + bytes(187)) * 5, "video", "video/mp2t"),
        (b"\0\0\1\xba" + bytes(9), "video", "video/mpeg"),
    ],
)
def test_sounds_films_and_drawings_are_known_by_how_they_begin(head, modality, media_type):
    for name in ("a.txt", "a.jpg", "a"):
        assert sniffed(head, name) == Sniffed(Modality(modality), media_type)


@pytest.mark.parametrize(
    "text",
    ["I, moov", "the moov atom", "icns", "fLaC", "ID3 tags", "G" * 1000, "FORM 12 AIFF", "<html><svg></svg></html>"],
)
def test_a_text_about_media_is_a_text(text):
    assert sniffed(text.encode()).modality is Modality.TEXT


@pytest.mark.parametrize(
    "evil", [b"<!---->" * 9000, b"<!--" * 15000, b"<?" * 30000, b" " * 65000 + b"<", b"\x1aE\xdf\xa3" + b"\x86" * 65000]
)
def test_no_head_keeps_the_patterns_busy(evil):
    assert (kind_of(evil), is_svg(evil)) == (None, False) or evil.startswith(b"\x1aE")  # or the time limit ends it


def test_a_sound_may_be_larger_than_a_picture_and_has_a_limit_of_its_own():
    limits = Limits(bytes=20, media_bytes=1000)
    wave = b"RIFF\0\0\0\0WAVEfmt " + bytes(500)
    assert sniffed(wave, limits=limits).modality is Modality.AUDIO
    with pytest.raises(TooLarge, match="QUIVER_MAX_MEDIA_BYTES"):
        sniffed(wave + bytes(500), limits=limits)


@pytest.mark.parametrize(("name", "what"), [("a.mp3", "a sound"), ("a.MP4", "a film"), ("a.heic", "an image")])
def test_a_text_named_like_media_is_refused(name, what):
    with pytest.raises(CorruptMedia, match=f"named like {what}.*holds text"):
        sniffed(b"<html>404 Not Found</html>", name)
    with pytest.raises(CorruptMedia, match=f"named like {what}"):
        sniffed(bytes(range(256)) * 4, name)


def test_a_200_megapixel_image_is_refused_by_its_header_with_the_limit_and_the_setting():
    with pytest.raises(TooLarge, match=r"200,000,000 pixels.*100,000,000.*QUIVER_MAX_PIXELS"):
        sniffed(b"P5 20000 10000 255\n")


@pytest.mark.parametrize("width", [11_000, 30_000, 100_000])
def test_a_decompression_bomb_is_refused_as_too_large(width):
    bomb = huge_png(width, 10_000)
    assert len(bomb) < 150_000
    with pytest.raises(TooLarge, match="QUIVER_MAX_PIXELS"):
        sniffed(bomb)


def test_a_raised_limit_lets_a_large_image_in():
    assert sniffed(b"P5 20000 10000 255\n", limits=Limits(pixels=200_000_000)).modality is Modality.IMAGE


def test_a_file_over_the_byte_limit_is_refused_with_the_setting():
    with pytest.raises(TooLarge, match=r"11 bytes, but the limit is 10 bytes.*QUIVER_MAX_BYTES"):
        sniffed(b"hello world", limits=Limits(bytes=10))


def test_text_that_cannot_be_within_the_limit_is_refused_before_it_is_stored():
    with pytest.raises(TooLarge, match="QUIVER_MAX_TEXT_CHARS"):
        sniffed(b"x" * 100, limits=Limits(text_chars=10))


def test_a_limit_beyond_what_is_ever_decoded_is_the_operators_mistake():
    with pytest.raises(Misconfigured, match="QUIVER_MAX_PIXELS"):
        Limits(pixels=MOST_PIXELS + 1)
    with pytest.raises(Misconfigured, match="QUIVER_MAX_SEGMENTS"):
        Limits(segments=0)


@given(st.binary(max_size=300), st.sampled_from(["a", "a.jpg", "a.txt"]))
def test_any_bytes_are_sniffed_or_refused(data, name):
    try:
        found = sniffed(data, name)
    except Refused:
        return
    assert found.modality in set(Modality)


@given(st.text(min_size=1).map(lambda text: "." + text).filter(str.isprintable))
def test_every_printable_text_is_text(text):
    assert sniffed(text.encode()).modality is Modality.TEXT
