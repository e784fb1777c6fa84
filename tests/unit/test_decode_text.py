"""Bytes to text, in UTF-8 or in the encoding that they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CorruptMedia, EmptyMedia, Refused, TooLarge
from ingest.decode.text import decode_text
from ingest.limits import Limits

LIMITS = Limits()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip))
def test_what_was_encoded_is_decoded(text):
    assert decode_text(text.encode(), limits=LIMITS) == text.removeprefix("\ufeff")


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert decode_text(b"\xef\xbb\xbfhello\r\n", limits=LIMITS) == "hello\r\n"


@pytest.mark.parametrize("offset", [0, 5, 100_000])
def test_broken_utf8_anywhere_is_refused_with_its_offset(offset):
    with pytest.raises(CorruptMedia, match=rf"byte {offset:,} \(0xff\).*iconv"):
        decode_text(b"x" * offset + b"\xff and more", limits=LIMITS)


def test_offsets_count_from_the_start_of_the_file_even_behind_a_mark():
    with pytest.raises(CorruptMedia, match="byte 4 "):
        decode_text(b"\xef\xbb\xbfa\xff", limits=LIMITS)


@pytest.mark.parametrize("data", ["\ud800".encode("utf-8", "surrogatepass"), b"\xc0\xaf", "世".encode()[:2]])
def test_what_only_looks_like_utf8_is_refused(data):
    with pytest.raises(CorruptMedia):
        decode_text(b"abc" + data, limits=LIMITS)


def test_a_nul_is_refused_with_its_offset():
    with pytest.raises(CorruptMedia, match="NUL at byte 5"):
        decode_text(b"hello\0world", limits=LIMITS)


@pytest.mark.parametrize("data", [b"", b"\n\t \r", "\u3000\u2003".encode(), b"\xef\xbb\xbf \n"])
def test_white_space_alone_is_refused_as_empty(data):
    with pytest.raises(EmptyMedia):
        decode_text(data, limits=LIMITS)


@pytest.mark.parametrize("text", ["x" * 11, "世" * 11, "x" * 100, "𝄞" * 11])
def test_text_over_the_limit_is_refused_with_the_setting(text):
    with pytest.raises(TooLarge, match=r"limit is 10 characters.*QUIVER_MAX_TEXT_CHARS"):
        decode_text(text.encode(), limits=Limits(text_chars=10))


@pytest.mark.parametrize("text", ["x" * 10, "世" * 10, "\ufeff" + "𝄞" * 10])
def test_text_at_the_limit_is_taken(text):
    assert len(decode_text(text.encode(), limits=Limits(text_chars=10))) == 10


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip))
def test_a_byte_order_mark_says_the_encoding(text):
    kept = text.removeprefix("\ufeff")
    for mark, encoding in (("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be"), ("\ufeff", "utf-32-le")):
        assert decode_text((mark + kept).encode(encoding), limits=LIMITS) == kept.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("declared", "encoding", "said"),
    [
        ('<meta charset="gbk">', "gb18030", "春天来了𠀀"),
        ('<META content="text/html; charset=ISO-8859-1">', "cp1252", "café – “x”"),
        ('<?xml version="1.0" encoding="Shift_JIS"?>', "cp932", "港の①"),
        ("# -*- coding: koi8-r -*-\n", "koi8-r", "порт"),
        ("#!/usr/bin/python\n# vim: set fileencoding=euc-kr :\n", "cp949", "항구"),
        ("<meta charset=iso-2022-jp>", "iso2022_jp", "港の事務所"),
        ("<meta charset=latin1>", "cp1252", "café"),
    ],
)
def test_a_text_that_declares_its_encoding_is_read_in_it(declared, encoding, said):
    assert decode_text((declared + said).encode(encoding), limits=LIMITS) == declared + said
    with pytest.raises(CorruptMedia):
        decode_text(said.encode(encoding) + b"\xff\xff", limits=LIMITS)


def test_what_is_not_in_the_encoding_that_it_declares_is_refused_with_the_offset():
    with pytest.raises(CorruptMedia, match=r"it says that it is in gb18030, and is not at byte 18 \(0xff\)"):
        decode_text(b"<meta charset=gbk>\xff", limits=LIMITS)
    with pytest.raises(CorruptMedia, match="utf-16"):
        decode_text("\ufeffhello".encode("utf-16-le")[:-1], limits=LIMITS)


@pytest.mark.parametrize(
    "name", ["rot13", "base64", "zlib", "unicode_escape", "idna", "utf-7", "undefined", "nonsense"]
)
def test_a_declared_codec_that_is_no_encoding_of_texts_is_not_run(name):
    with pytest.raises(CorruptMedia, match="not valid UTF-8"):
        decode_text(f"# coding: {name}\ncafé".encode("latin-1"), limits=LIMITS)


@given(st.binary(max_size=100))
def test_any_bytes_are_text_or_refused(data):
    try:
        text = decode_text(data, limits=LIMITS)
    except Refused:
        return
    assert text.strip()
