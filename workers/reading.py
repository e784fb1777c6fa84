"""What follows decoding: texts are cut into windows, and the text inside things is read.

All that an asset comes to, a piece at a time: `complete`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import accumulate, chain
from operator import or_

import numpy as np

from core.errors import EmptyMedia
from core.ports import Encoder, Tokens
from core.reader import Phrase, Reader
from core.records import Collection
from core.runtime.wiring import Parts
from core.types import Asset, Audio, Image, Modality, Piece, Reading, Segment, Span, Text, Wants
from ingest.decode.image import reduced
from ingest.language import language_of
from ingest.limits import Limits
from ingest.segment import CODE, OVERLAP, PROSE, WIDTH, Breaks, windows

MOST = 512  # tokens of a window, whatever an encoder reads: one vector says little of more
SHARE = OVERLAP / WIDTH  # of a window that the next one says again
SPARE = 32  # one token, and one in so many, is kept free: a window alone may have more than as a part of its text
SLAB = 100_000  # characters that a tokenizer is given at once
SPOKEN = "text/x-"  # media types of source code begin so, and are in no language that people speak
TOGETHER = 120.0  # seconds of sound that are read at once, about
NEAR = 0.05  # seconds between two sounds that still follow each other

Beat = Callable[[], None]  # called between two contents that are read: a reader takes seconds a picture


@dataclass(slots=True, kw_only=True)
class Course:
    """What it takes to complete an asset, and how far it has come: one an asset, handed on from piece to piece."""

    asset: Asset
    reads: frozenset[Reading]
    readers: Sequence[Reader]
    tokens: Tokens | None
    wants: Wants  # of the encoders
    limits: Limits
    beat: Beat = lambda: None
    made: Counter[Reading | None] = field(default_factory=Counter)


def course_of(parts: Parts, collection: Collection, asset: Asset, limits: Limits, beat: Beat = lambda: None) -> Course:
    """The course of an asset. Raises MissingExtra, Misconfigured, BadModel when its collection reads what cannot be."""
    encoders = parts.encoders.of_profile(collection.profile)
    return Course(
        asset=asset,
        reads=collection.reads,
        readers=parts.readers.of(collection.reads),
        tokens=tokens_of(encoders),
        wants=reduce(or_, (encoder.wants for encoder in encoders)),
        limits=limits,
        beat=beat,
    )


def tokens_of(encoders: Sequence[Encoder]) -> Tokens | None:
    """How the encoder that reads the most of a text cuts it; the others read the beginning of each window."""
    said = [one.tokens for one in encoders if Modality.TEXT in one.space.modalities and one.tokens is not None]
    return max(said, key=lambda tokens: tokens.most, default=None)


def complete(course: Course, piece: Piece) -> Piece:
    """All segments of a piece: what was decoded, texts cut into windows, and what is read in it.

    Ordinals go on from the pieces before. Raises TooLarge, EmptyMedia, ReaderBroke.
    """
    first = not course.made
    further = list(chain(captions(course) if first else (), read(course, piece.segments)))
    kept = [_numbered(course, one) for one in (*cut(course, piece.segments), *further)]
    course.limits.check("segments", course.made.total())
    if piece.last and not course.made.total():
        raise EmptyMedia("no writing was found on its pages: there is nothing to index")
    return Piece(kept, piece.last)


def cut(course: Course, segments: Sequence[Segment]) -> Iterator[Segment]:
    """The segments, a text as its windows, a picture no larger than encoders want it: batches are held. Without the
    pictures of a document's pages, which are there to be read."""
    for segment in segments:
        if isinstance(segment.content, Text):
            base = segment.span.start if segment.span is not None else 0
            for start, end, text in _cut(course, segment.content.value):
                yield replace(segment, content=text, span=Span(base + start, base + end, "char"))
        elif course.asset.modality is not Modality.TEXT:
            if isinstance(segment.content, Image):
                segment = replace(segment, content=reduced(segment.content, course.wants))
            yield segment


def captions(course: Course) -> Iterator[Segment]:
    """What the metadata of a picture, a sound or a film says of it under `caption`: a text, or a list of them."""
    said = course.asset.metadata.get("caption")
    if Reading.CAPTION in course.reads and course.asset.modality is not Modality.TEXT:
        for caption in [said] if isinstance(said, str) else said if isinstance(said, list) else ():
            if isinstance(caption, str) and caption.strip():
                yield from (Segment(0, text, source=Reading.CAPTION) for _, _, text in _cut(course, caption.strip()))


def read(course: Course, segments: Sequence[Segment]) -> Iterator[Segment]:
    """What is read in segments: the writing in a picture, each with its span, and the words of a sound, with theirs.

    Writing that a film shows on is told once, where it begins. Raises ReaderBroke.
    """
    for reader in course.readers:
        before = ""
        seen = [one for one in segments if one.content.modality in reader.wants.contents]
        for segment in _joined(seen):
            course.beat()
            lines = reader.read(segment.content)
            text = "\n".join(line for line, _ in lines)
            if text != before:
                yield from _told(course, lines, segment, reader.reading)
            before = text


def _told(course: Course, lines: Sequence[Phrase], segment: Segment, source: Reading) -> Iterator[Segment]:
    """Lines as windows of text, each with the span of its lines or, where they have none, that of the segment."""
    between = " " if isinstance(segment.content, Audio) else "\n"
    begins = [0, *accumulate(len(line) + len(between) for line, _ in lines)]
    since = _begin(segment)
    for start, end, text in _cut(course, between.join(line for line, _ in lines)):
        spans = [span for _, span in lines[bisect_right(begins, start) - 1 : bisect_right(begins, end - 1)] if span]
        span = segment.span
        if spans:
            span = Span(since + min(one.start for one in spans), since + max(one.end for one in spans), "second")
        yield Segment(0, text, span, source)


def _joined(segments: Sequence[Segment]) -> Iterator[Segment]:
    """The segments, but sounds that follow each other or overlap as one: encoders hear less at once than readers."""
    run: list[Segment] = []
    for segment in segments:
        if run and not (_follows(run[-1], segment) and _begin(segment) - _begin(run[0]) < TOGETHER):
            yield _whole(run)
            run = []
        run.append(segment)
    if run:
        yield _whole(run)


def _follows(one: Segment, other: Segment) -> bool:
    if not (isinstance(one.content, Audio) and isinstance(other.content, Audio)):
        return False
    return one.content.rate == other.content.rate and _begin(other) <= _end(one, one.content) + NEAR


def _whole(run: Sequence[Segment]) -> Segment:
    """Sounds that follow each other as one, what two of them hold told once."""
    if len(run) == 1:
        return run[0]
    samples, end, rate = [], _begin(run[0]), 1
    for segment in run:
        sound = segment.content
        assert isinstance(sound, Audio)
        samples.append(sound.samples[max(0, round((end - _begin(segment)) * sound.rate)) :])
        end, rate = max(end, _end(segment, sound)), sound.rate
    return replace(run[0], content=Audio(np.concatenate(samples), rate), span=Span(_begin(run[0]), end, "second"))


def _begin(segment: Segment) -> float:
    return segment.span.start if segment.span is not None else 0.0


def _end(segment: Segment, sound: Audio) -> float:
    return _begin(segment) + len(sound.samples) / sound.rate


def _cut(course: Course, text: str) -> list[tuple[int, int, Text]]:
    """Where the windows of a text begin and end, and what they say, with its language."""
    source = course.asset.media_type.startswith(SPOKEN)
    found = spans_of(text, course.tokens, CODE if source else PROSE)
    said = [text[start:end] for start, end in found]
    languages = [""] * len(said) if source else [language_of(one) for one in said]
    if len(said) > 1 and not source and not all(languages):
        whole = language_of(text)
        languages = [language or whole for language in languages]
    return [(*place, Text(*one)) for place, *one in zip(found, said, languages, strict=True)]


def spans_of(text: str, tokens: Tokens | None, breaks: Breaks = PROSE) -> list[tuple[int, int]]:
    """The windows of a text: of as many tokens as are read, or of characters when nobody says what a token is."""
    if tokens is None:
        return windows(text, breaks=breaks)
    most = max(1, min(MOST, tokens.most - 1 - tokens.most // SPARE))
    return windows(text, spans=_tokens(text, tokens), most=most, overlap=int(most * SHARE), breaks=breaks)


def _tokens(text: str, tokens: Tokens) -> list[tuple[int, int]]:
    """The tokens of a text of any length, a slab at a time, cut at white space where there is some."""
    out: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + SLAB)
        if end < len(text):
            end = max(text.rfind("\n", start + SLAB // 2, end), text.rfind(" ", start + SLAB // 2, end)) + 1 or end
        out += [(start + one, start + other) for one, other in tokens.spans(text[start:end])]
        start = end
    return out


def _numbered(course: Course, segment: Segment) -> Segment:
    ordinal = course.made[segment.source]
    course.made[segment.source] += 1
    return replace(segment, ordinal=ordinal)
