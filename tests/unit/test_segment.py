"""Windows of text: they cover it, overlap, grow, and hold no more than may be read."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.segment import CODE, PROSE, windows

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
sizes = st.integers(1, 60).flatmap(lambda most: st.tuples(st.just(most), st.integers(0, most - 1)))


def values(text: str, found: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in found]


@st.composite
def tokenized(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text and tokens as tokenizers make them: of a few characters, several of one character, none of white space."""
    text = draw(texts)
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        size = draw(st.integers(1, 5))
        said = text[at : at + size]
        if draw(st.booleans()) and not said.isspace():
            spans += [(at, at + len(said))] * draw(st.sampled_from([1, 1, 1, 3]))
        at += size
    return text, spans


@given(texts, sizes)
def test_every_character_that_is_not_white_space_is_in_a_window(text, size):
    found = windows(text, most=size[0], overlap=size[1])
    covered = {at for start, end in found for at in range(start, end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(text))


@given(texts, sizes)
def test_windows_grow_strictly_and_keep_to_their_width(text, size):
    found = windows(text, most=size[0], overlap=size[1])
    assert all(0 < end - start <= size[0] for start, end in found)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(found))


@given(tokenized(), sizes)
def test_no_window_holds_more_tokens_than_may_be_read(made, size):
    text, spans = made
    for start, end in windows(text, spans=spans, most=size[0], overlap=size[1]):
        held = sum(one < end and other > start for one, other in spans)
        assert held <= size[0] or end - start == 1


@given(tokenized(), sizes, st.booleans())
def test_windows_of_tokens_cover_the_text_and_grow(made, size, code):
    text, spans = made
    found = windows(text, spans=spans, most=size[0], overlap=size[1], **({"breaks": CODE} if code else {}))
    covered = {at for start, end in found for at in range(start, end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(text))
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(found))
    assert all(value.strip() for value in values(text, found))


@given(texts.filter(lambda text: not any(char.isspace() for char in text)), sizes)
def test_windows_share_between_half_and_all_of_the_overlap(text, size):
    most, overlap = size
    for one, two in pairwise(windows(text, most=most, overlap=overlap)):
        assert one[1] - overlap <= two[0]
        assert two[0] <= one[1] - (overlap + 1) // 2


@given(texts.filter(lambda text: not any(char.isspace() for char in text)), st.integers(2, 20))
def test_windows_of_tokens_share_some(text, most):
    spans = [(at, min(at + 3, len(text))) for at in range(0, len(text), 3)]
    overlap = most // 2
    for one, two in pairwise(windows(text, spans=spans, most=most, overlap=overlap)):
        assert sum(start < one[1] and end > two[0] for start, end in spans) >= overlap // 2


@given(texts, sizes)
def test_no_window_is_white_space(text, size):
    assert all(value.strip() for value in values(text, windows(text, most=size[0], overlap=size[1])))


@given(texts.filter(str.strip), st.integers(0, 59))
def test_a_text_that_fits_is_one_window(text, overlap):
    assert windows(text, most=max(len(text), 60), overlap=overlap) == [(0, len(text))]
    words = [(at, at + 1) for at in range(0, len(text), 2)]
    assert windows(text, spans=words, most=max(len(words), 60), overlap=overlap) == [(0, len(text))]


def test_no_text_has_no_windows():
    assert windows("") == []
    assert windows(" \n" * 2000) == []
    assert windows(" \n" * 2000, spans=[]) == []


def cut(text: str, most: int, overlap: int = 0, **said) -> list[str]:
    return values(text, windows(text, most=most, overlap=overlap, **said))


def test_a_window_ends_with_a_paragraph_rather_than_a_sentence():
    text = "One two three. Four five.\n\nSix seven. Eight nine ten eleven."
    assert cut(text, 40, 5)[0] == "One two three. Four five.\n\n"


def test_a_window_ends_with_a_sentence_rather_than_a_word():
    text = "One two three four. Five six seven eight nine ten."
    assert cut(text, 30) == ["One two three four. ", "Five six seven eight nine ten."]


def test_a_window_ends_with_a_word_rather_than_inside_one():
    text = "alpha beta gamma delta epsilon zeta eta theta"
    assert cut(text, 20) == ["alpha beta gamma ", "delta epsilon zeta ", "eta theta"]


def test_a_break_in_the_very_middle_of_a_window_counts():
    assert cut("abcd efghijklm", 10) == ["abcd ", "efghijklm"]


def test_windows_of_tokens_end_where_sentences_do():
    text = "One two three four. Five six seven eight. Nine ten eleven."
    words = [(found.start(), found.end()) for found in re.finditer(r"\w+|\.", text)]
    assert cut(text, 8, spans=words) == ["One two three four. ", "Five six seven eight. ", "Nine ten eleven."]


def test_source_code_is_cut_before_a_definition_and_keeps_its_indentation():
    one = "class One:\n    def a(self):\n        return 1\n\n    def b(self):\n        return 2\n\n"
    assert cut(one + "def two():\n    pass\n\nx = 1\n", 100, breaks=CODE)[0] == one
    assert cut(one, 60, breaks=CODE) == [
        "class One:\n    def a(self):\n        return 1\n\n",
        "    def b(self):\n        return 2\n\n",
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("breaks", [PROSE, CODE], ids=["prose", "code"])
@pytest.mark.parametrize(
    "piece", ["x", ".", '."', "\n", "\n ", "。", "”", "!?", ". ", "\r\n\t", "\n\n\t", "\f", "def "]
)
def test_no_text_takes_longer_than_its_length_allows(piece, breaks):
    text = piece * 300_000 + "x"
    words = [(at, at + 5) for at in range(0, len(text), 5)]
    for spans in (None, words, []):
        assert windows(text, spans=spans, breaks=breaks)[-1][1] == len(text)


def test_chinese_text_is_cut_behind_its_full_stop_and_closing_quote():
    text = "春天来了，花儿都开放了。他说：“我们走吧。”然后大家一起出发去了山上看风景"
    assert cut(text, 24)[0].endswith("。”")
    assert cut("一二三四五六，七八九十一二三四五六", 12)[0] == "一二三四五六，"


def test_the_overlap_begins_with_a_sentence_where_it_can():
    text = "Alpha beta gamma delta. " + "Short one. " + "Epsilon zeta eta theta iota kappa."
    found = cut(text, 40, 14)
    assert found[0] == "Alpha beta gamma delta. Short one. "
    assert found[1].startswith("Short one. ")


def test_a_text_without_any_break_is_cut_at_the_width():
    assert windows("x" * 2500) == [(0, 1000), (800, 1800), (1600, 2500)]


def test_a_token_that_is_longer_than_tokens_are_counts_as_several():
    found = windows("x" * 10_000, spans=[(0, 10_000)], most=10, overlap=2)
    assert max(end - start for start, end in found) == 320


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_that_would_never_end_is_our_mistake(overlap):
    with pytest.raises(ValueError, match="overlap"):
        windows("text", most=10, overlap=overlap)
