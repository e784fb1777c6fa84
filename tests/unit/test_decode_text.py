"""UTF-8 bytes to text."""

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


@given(st.binary(max_size=100))
def test_any_bytes_are_text_or_refused(data):
    try:
        text = decode_text(data, limits=LIMITS)
    except Refused:
        return
    assert text.strip()
