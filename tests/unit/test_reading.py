"""What follows decoding: windows of what encoders read, captions, writing and words, and where each lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import EmptyMedia, TooLarge
from core.reader import Phrase, Reader
from core.types import (
    Asset,
    AssetId,
    Audio,
    Content,
    Digest,
    Image,
    Modality,
    Piece,
    Reading,
    Segment,
    Span,
    Tenant,
    Text,
    Wants,
)
from ingest.limits import Limits
from tests import checkpoints
from tests.doubles import ColourEncoder
from workers.reading import SLAB, TOGETHER, Course, complete, spans_of, tokens_of

RATE = 1000


def asset(modality: Modality = Modality.TEXT, media_type: str = "text/plain", **metadata: Any) -> Asset:
    return Asset(
        id=AssetId(uuid4()),
        tenant=Tenant("t"),
        collection="c",
        external_id="a",
        modality=modality,
        media_type=media_type,
        digest=Digest("0" * 64),
        size=1,
        metadata=metadata,
        generation=1,
        created_at=datetime.now(UTC),
    )


@dataclass
class Letters:
    """A token a character that is not white space."""

    most: int = 40

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        return [(at, at + 1) for at, letter in enumerate(text) if not letter.isspace()]


@dataclass
class Says:
    """A reader that says what a content's first number stands for, and keeps what it was given."""

    reading: Reading
    kind: Modality
    said: dict[int, list[Phrase]] = field(default_factory=dict)
    given: list[Content] = field(default_factory=list)

    @property
    def wants(self) -> Wants:
        return Wants(contents=frozenset({self.kind}))

    def read(self, content: Content) -> list[Phrase]:
        self.given.append(content)
        first = content.pixels[0, 0, 0] if isinstance(content, Image) else 0
        return self.said.get(int(first), [])


def course(of: Asset, *readers: Reader, reads: Sequence[Reading] = (), **more: Any) -> Course:
    said: dict[str, Any] = {"tokens": None, "wants": Wants(), "limits": Limits()} | more
    return Course(asset=of, reads=frozenset(reads), readers=readers, **said)


def page(number: int, span: Span | None = None, *, side: int = 4) -> Segment:
    return Segment(0, Image(np.full((side, side, 3), number, np.uint8)), span)


def texts(piece: Piece) -> list[str]:
    return [one.content.value for one in piece.segments if isinstance(one.content, Text)]


def whole(text: str, start: int = 0) -> Segment:
    return Segment(0, Text(text), Span(start, start + len(text), "char"))


# Windows


@pytest.fixture(scope="module", params=["clip", "siglip"])
def tokens(request, tmp_path_factory) -> Any:
    folder: Path = checkpoints.build(tmp_path_factory.mktemp("models") / request.param, request.param)
    encoder = checkpoints.encoder(folder)
    assert tokens_of([encoder]) is encoder.tokens is not None
    return encoder.tokens


WORDS = st.sampled_from(["a", "harbour", "Office.", "\n\n", "世界", "don't", "x" * 30, "9,000", "—", "é"])


@given(st.lists(WORDS, max_size=60).map(" ".join))
def test_no_window_has_more_tokens_than_the_model_reads_and_every_letter_is_in_one(tokens, text):
    found = spans_of(text, tokens)
    for start, end in found:
        assert len(tokens.spans(text[start:end])) <= tokens.most
    covered = {at for start, end in found for at in range(start, end)}
    assert all(at in covered or letter.isspace() for at, letter in enumerate(text))
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(found))


def test_windows_are_of_the_encoder_that_reads_the_most():
    @dataclass
    class Reads:
        tokens: Letters | None
        space: Any = field(default_factory=lambda: ColourEncoder().space)

    few: Any = [Reads(Letters(5)), Reads(None), Reads(Letters(50)), Reads(Letters(9))]
    chosen = tokens_of(few)
    assert chosen is not None
    assert chosen.most == 50
    assert tokens_of(few[1:2]) is None


def test_a_window_is_never_of_more_than_one_vector_can_say():
    assert max(end - start for start, end in spans_of("x" * 50_000, Letters(8192))) == 512


def test_without_tokens_windows_are_of_characters():
    assert spans_of("x" * 2500, None) == [(0, 1000), (800, 1800), (1600, 2500)]


def test_a_text_longer_than_a_tokenizer_is_given_at_once_is_tokenized_whole():
    given: list[str] = []

    class Counting(Letters):
        def spans(self, text: str) -> Sequence[tuple[int, int]]:
            given.append(text)
            return super().spans(text)

    text = "word " * (SLAB // 2)
    found = spans_of(text, Counting())
    assert "".join(given) == text
    assert max(map(len, given)) <= SLAB
    assert found[-1][1] >= len(text.rstrip())
    assert all(sum(not c.isspace() for c in text[start:end]) <= 40 for start, end in found)


def test_windows_of_a_page_quote_all_of_the_text_at_their_spans():
    one, two = "First page. " * 20, "Second page. " * 20
    made = complete(course(asset(), tokens=Letters()), Piece([whole(one), whole(two, len(one) + 1)], last=True))
    everything = f"{one}\f{two}"
    assert len(made.segments) > 10
    for at, segment in enumerate(made.segments):
        assert segment.ordinal == at
        assert segment.source is None
        assert segment.span is not None
        assert isinstance(segment.content, Text)
        assert everything[int(segment.span.start) : int(segment.span.end)] == segment.content.value


def test_ordinals_go_on_over_pieces_for_each_source():
    going = course(
        asset(Modality.IMAGE),
        Says(Reading.OCR, Modality.IMAGE, {1: [("one", None)], 2: [("two", None)]}),
        reads=[Reading.OCR],
    )
    first = complete(going, Piece([page(1), page(0)], last=False))
    second = complete(going, Piece([page(2)], last=True))
    assert [(one.source, one.ordinal) for one in first.segments] == [(None, 0), (None, 1), (Reading.OCR, 0)]
    assert [(one.source, one.ordinal) for one in second.segments] == [(None, 2), (Reading.OCR, 1)]
    assert (first.last, second.last) == (False, True)


def test_too_many_windows_are_refused_with_the_setting():
    with pytest.raises(TooLarge, match=r"4 segments, but the limit is 3 segments.*QUIVER_MAX_SEGMENTS"):
        complete(course(asset(), limits=Limits(segments=3)), Piece([whole("x" * 3000)], last=True))


def test_a_text_says_its_language_and_source_code_does_not():
    said = "Das Büro am Hafen öffnet um neun Uhr morgens und schließt am Abend. " * 40 + "Ende."
    made = complete(course(asset()), Piece([whole(said)], last=True))
    assert {one.content.language for one in made.segments if isinstance(one.content, Text)} == {"de"}
    made = complete(course(asset(media_type="text/x-python")), Piece([whole(said)], last=True))
    assert {one.content.language for one in made.segments if isinstance(one.content, Text)} == {""}


def test_source_code_is_cut_before_definitions():
    code = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(60))
    made = complete(course(asset(media_type="text/x-python")), Piece([whole(code)], last=True))
    assert len(made.segments) > 1
    assert all(text.startswith("def f") for text in texts(made))


# Captions


@pytest.mark.parametrize(
    ("said", "found"),
    [("A red boat.", ["A red boat."]), (["one", " ", "two"], ["one", "two"]), (7, []), ("  ", []), (None, [])],
)
def test_captions_are_read_once_where_the_collection_reads_them(said, found):
    going = course(asset(Modality.IMAGE, caption=said), reads=[Reading.CAPTION])
    first = complete(going, Piece([page(1)], last=False))
    second = complete(going, Piece([page(1)], last=True))
    assert texts(first) == found
    assert texts(second) == []
    assert all(one.source is Reading.CAPTION for one in first.segments if isinstance(one.content, Text))
    assert texts(complete(course(asset(Modality.IMAGE, caption=said)), Piece([page(1)], last=True))) == []


# Writing


def test_lines_of_writing_are_one_text_of_the_picture_with_its_span():
    reader = Says(Reading.OCR, Modality.IMAGE, {1: [("NO", None), ("PARKING", None)]})
    span = Span(3.0, 3.5, "second")
    made = complete(course(asset(Modality.VIDEO), reader), Piece([page(1, span), page(0)], last=True))
    assert [(one.source, one.span) for one in made.segments if isinstance(one.content, Text)] == [(Reading.OCR, span)]
    assert texts(made) == ["NO\nPARKING"]


def test_writing_that_stays_in_a_film_is_told_once():
    reader = Says(Reading.OCR, Modality.IMAGE, {1: [("TITLE", None)], 2: [("END", None)]})
    frames = [page(number, Span(at, at + 1, "second")) for at, number in enumerate([1, 1, 1, 2, 1])]
    made = complete(course(asset(Modality.VIDEO), reader), Piece(frames, last=True))
    assert texts(made) == ["TITLE", "END", "TITLE"]


def test_a_picture_is_kept_no_larger_than_encoders_want_it_once_it_is_read():
    reader = Says(Reading.OCR, Modality.IMAGE)
    made = complete(
        course(asset(Modality.IMAGE), reader, wants=Wants(pixels=100)), Piece([page(1, side=900)], last=True)
    )
    (given,), (kept,) = reader.given, made.segments
    assert isinstance(given, Image)
    assert isinstance(kept.content, Image)
    assert (given.pixels.shape, kept.content.pixels.shape) == ((900, 900, 3), (225, 225, 3))


def test_pages_of_a_document_are_read_and_no_pictures():
    reader = Says(Reading.OCR, Modality.IMAGE, {1: [("Invoice 2481", None)]})
    made = complete(course(asset(), reader), Piece([whole("Typed."), page(1)], last=True))
    assert texts(made) == ["Typed.", "Invoice 2481"]
    assert len(made.segments) == 2


def test_a_document_on_whose_pages_nothing_can_be_read_is_empty():
    going = course(asset(), Says(Reading.OCR, Modality.IMAGE))
    assert complete(going, Piece([page(0)], last=False)).segments == []
    with pytest.raises(EmptyMedia, match="no writing was found"):
        complete(going, Piece([page(0)], last=True))


# Words


def sound(start: float, end: float, rate: int = RATE) -> Segment:
    """Each sample is the number of its second."""
    samples = np.arange(round(start * rate), round(end * rate), dtype=np.float32) / np.float32(rate)
    return Segment(0, Audio(samples, rate), Span(start, end, "second"))


@pytest.mark.parametrize("overlap", [0.0, 2.0, 0.04, -0.03])
def test_sounds_that_follow_each_other_are_heard_as_one(overlap):
    reader = Says(Reading.TRANSCRIPT, Modality.AUDIO)
    spans = [sound(at - (overlap if at else 0), at + 10) for at in (0, 10, 20)]
    complete(course(asset(Modality.AUDIO), reader), Piece(spans, last=True))
    (heard,) = reader.given
    assert isinstance(heard, Audio)
    assert len(heard.samples) == pytest.approx(30 * RATE, abs=70)
    assert np.diff(heard.samples).min() > 0, "nothing twice"


def test_sounds_apart_are_heard_apart_and_long_ones_in_parts():
    reader = Says(Reading.TRANSCRIPT, Modality.AUDIO)
    long = [sound(at, at + 10) for at in range(0, 300, 10)]
    complete(course(asset(Modality.AUDIO), reader), Piece([*long, sound(400, 405)], last=True))
    seconds = [len(one.samples) / RATE for one in reader.given if isinstance(one, Audio)]
    assert seconds == [TOGETHER, TOGETHER, 300 - 2 * TOGETHER, 5]


def test_words_are_windows_with_the_seconds_of_their_phrases():
    phrases: list[Phrase] = [(f"phrase {i:02}", Span(i, i + 0.5, "second")) for i in range(20)]
    reader = Says(Reading.TRANSCRIPT, Modality.AUDIO, {0: phrases})
    made = complete(course(asset(Modality.AUDIO), reader, tokens=Letters(40)), Piece([sound(100, 120)], last=True))
    said = [one for one in made.segments if one.source is Reading.TRANSCRIPT]
    assert len(said) > 3
    for one in said:
        assert isinstance(one.content, Text)
        assert one.span is not None
        numbers = [int(word) for word in one.content.value.split() if word.isdigit() and len(word) == 2]
        assert one.span.start <= 100 + min(numbers) <= one.span.start + 1
        assert one.span.end - 1.5 <= 100 + max(numbers) < one.span.end
    assert (said[0].span, said[-1].span) == (
        Span(100, said[0].span.end if said[0].span else 0, "second"),
        Span(said[-1].span.start if said[-1].span else 0, 119.5, "second"),
    )


def test_a_long_reading_gives_signs_of_life():
    beats: list[int] = []
    reader = Says(Reading.OCR, Modality.IMAGE)
    going = course(asset(Modality.VIDEO), reader, beat=lambda: beats.append(len(reader.given)))
    complete(going, Piece([page(0)] * 3, last=True))
    assert beats == [0, 1, 2]
