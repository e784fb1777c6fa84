"""Windows of text: they quote it exactly, cover it, overlap and grow."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TooLarge
from core.types import Modality, Segment, Text, Wants
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from ingest.segment import windows

PIECES = [
    "a",
    "word",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    ". ",
    "! ",
    "，",
    "。",
    "”",
    "、",
    "世界",
    "x" * 40,
    "\u3000",
    "𝄞",
    "é",
]
texts = st.lists(st.sampled_from(PIECES), max_size=120).map("".join)
sizes = st.integers(1, 60).flatmap(lambda width: st.tuples(st.just(width), st.integers(0, width - 1)))


def spans(segments: list[Segment]) -> list[tuple[int, int]]:
    out = []
    for segment in segments:
        assert segment.span is not None
        assert segment.span.unit == "char"
        out.append((int(segment.span.start), int(segment.span.end)))
    return out


def values(segments: list[Segment]) -> list[str]:
    return [segment.content.value for segment in segments if isinstance(segment.content, Text)]


@given(texts, sizes)
def test_windows_quote_the_text_exactly(text, size):
    found = windows(text, width=size[0], overlap=size[1])
    assert values(found) == [text[start:end] for start, end in spans(found)]


@given(texts, sizes)
def test_every_character_that_is_not_white_space_is_in_a_window(text, size):
    covered = {at for start, end in spans(windows(text, width=size[0], overlap=size[1])) for at in range(start, end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(text))


@given(texts, sizes)
def test_windows_grow_strictly_and_keep_to_their_width(text, size):
    found = spans(windows(text, width=size[0], overlap=size[1]))
    assert all(0 < end - start <= size[0] for start, end in found)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(found))


@given(texts.filter(lambda text: not any(char.isspace() for char in text)), sizes)
def test_windows_share_between_half_and_all_of_the_overlap(text, size):
    width, overlap = size
    found = spans(windows(text, width=width, overlap=overlap))
    for one, two in pairwise(found):
        assert one[1] - overlap <= two[0]
        assert two[0] <= one[1] - (overlap + 1) // 2


@given(texts, sizes)
def test_ordinals_count_and_no_window_is_white_space(text, size):
    found = windows(text, width=size[0], overlap=size[1])
    assert [segment.ordinal for segment in found] == list(range(len(found)))
    assert all(value.strip() for value in values(found))


@given(texts.filter(str.strip), st.integers(0, 59))
def test_a_text_that_fits_is_one_segment(text, overlap):
    assert spans(windows(text, width=max(len(text), 60), overlap=overlap)) == [(0, len(text))]


def test_no_text_has_no_windows():
    assert windows("") == []
    assert windows(" \n" * 2000) == []


def test_a_window_ends_with_a_paragraph_rather_than_a_sentence():
    text = "One two three. Four five.\n\nSix seven. Eight nine ten eleven."
    assert values(windows(text, width=40, overlap=5))[0] == "One two three. Four five.\n\n"


def test_a_window_ends_with_a_sentence_rather_than_a_word():
    text = "One two three four. Five six seven eight nine ten."
    assert values(windows(text, width=30, overlap=0)) == ["One two three four. ", "Five six seven eight nine ten."]


def test_a_window_ends_with_a_word_rather_than_inside_one():
    text = "alpha beta gamma delta epsilon zeta eta theta"
    assert values(windows(text, width=20, overlap=0)) == ["alpha beta gamma ", "delta epsilon zeta ", "eta theta"]


def test_a_break_in_the_very_middle_of_a_window_counts():
    assert values(windows("abcd efghijklm", width=10, overlap=0)) == ["abcd ", "efghijklm"]


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", [".", '."', "\n", "\n ", "。", "”", "!?", ". ", "\r\n\t"])
def test_no_text_takes_longer_than_its_length_allows(piece):
    assert spans(windows(piece * 300_000 + "x"))[-1][1] == len(piece) * 300_000 + 1


def test_chinese_text_is_cut_behind_its_full_stop_and_closing_quote():
    text = "春天来了，花儿都开放了。他说：“我们走吧。”然后大家一起出发去了山上看风景"
    found = values(windows(text, width=24, overlap=0))
    assert found[0].endswith("。”")
    clauses = values(windows("一二三四五六，七八九十一二三四五六", width=12, overlap=0))
    assert clauses[0] == "一二三四五六，"


def test_the_overlap_begins_with_a_sentence_where_it_can():
    text = "Alpha beta gamma delta. " + "Short one. " + "Epsilon zeta eta theta iota kappa."
    found = values(windows(text, width=40, overlap=14))
    assert found[0] == "Alpha beta gamma delta. Short one. "
    assert found[1].startswith("Short one. ")


def test_a_text_without_any_break_is_cut_at_the_width():
    assert spans(windows("x" * 2500)) == [(0, 1000), (800, 1800), (1600, 2500)]


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_that_would_never_end_is_our_mistake(overlap):
    with pytest.raises(ValueError, match="overlap"):
        windows("text", width=10, overlap=overlap)


def test_a_text_of_too_many_segments_is_refused_with_the_setting():
    with pytest.raises(TooLarge, match=r"4 segments, but the limit is 3 segments.*QUIVER_MAX_SEGMENTS"):
        whole(
            prepare(
                io.BytesIO(b"x" * 3000),
                modality=Modality.TEXT,
                media_type="text/plain",
                limits=Limits(segments=3),
                wants=Wants(),
            )
        )
