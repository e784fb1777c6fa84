"""The promises of an encoder, to be run by whoever writes one: `check_encoder(MyEncoder())` in a test of yours; and
`check_reranker` for who writes a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.errors import NoSpaceFor, Refused
from core.points import check_vectors
from core.ports import Embeds, Encoder
from core.runtime.trial import checked
from core.spaces import Sparse
from core.types import Audio, Content, Image, Modality, Text
from quiver.ranking_checks import check_reranker

__all__ = ["Finding", "Tried", "check_encoder", "check_reranker", "findings", "samples"]
NEAR = 1e-3  # how far from 1 the cosine of two rows of one content may be: bfloat16 rounds each batch otherwise
THREADS = 4
ODD_TEXTS = ("", " ", "\n\n", "\0", "\ud83d", "🙂", "ا" * 50, "word " * 3000)


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise, and why it was broken; empty: it was kept."""

    promise: str
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of an encoder's promises, and how it computes here, part by part, where it says so."""

    promises: list[Finding]
    how: Mapping[str, str]


def check_encoder(encoder: Embeds, contents: Sequence[Content] | None = None) -> None:
    """Raise AssertionError, naming every promise of `core.ports.Encoder` that an encoder breaks.

    `contents` are embedded instead of made-up ones: at least two of each modality, of different meaning.
    """
    broken = [f"{found.promise}: {found.broken}" for found in findings(encoder, contents) if found.broken]
    if broken:
        raise AssertionError("\n".join([f"{encoder.space.name} breaks {len(broken)} promises", *broken]))


def findings(encoder: Embeds, contents: Sequence[Content] | None = None) -> list[Finding]:
    """Every promise, kept or broken."""
    asked, given = checked(encoder), list(contents or samples(encoder.space.modalities))
    return [_tried(promise, asked, given) for promise in PROMISES]


def samples(modalities: frozenset[Modality]) -> list[Content]:
    """Some of each kind, all different."""
    random, out = np.random.default_rng(0), list[Content]()
    if Modality.TEXT in modalities:
        out += map(Text, ("a red cat", "two cups of coffee on a table", "一只红色的猫", "rocket " * 40))
    if Modality.IMAGE in modalities:
        for height, width in ((64, 64), (300, 200), (40, 500), (2, 3)):
            shade = random.integers(0, 256, (1, 1, 3)) * 0.7 + random.integers(0, 76, (height, width, 3))
            out.append(Image(shade.astype(np.uint8)))
    if Modality.AUDIO in modalities:
        for pitch, rate in ((220, 48_000), (880, 16_000), (3000, 44_100), (60, 22_050)):
            wave = np.sin(2 * np.pi * pitch * np.arange(rate) / rate) * 0.3 + random.normal(0, 0.01, rate)
            out.append(Audio(wave.astype(np.float32), rate))
    return out


def _odd(modalities: frozenset[Modality]) -> list[Content]:
    """What nobody means to send, and somebody does."""
    out = list[Content]()
    if Modality.TEXT in modalities:
        out += map(Text, ODD_TEXTS)
    if Modality.IMAGE in modalities:
        out += (Image(np.full((h, w, 3), v, np.uint8)) for h, w, v in ((1, 1, 0), (1, 2000, 255), (2000, 1, 9)))
    if Modality.AUDIO in modalities:
        out += (Audio(np.zeros(n, np.float32), 48_000) for n in (0, 1, 48_000))
    return out


def _tried(promise: Callable[[Encoder, list[Content]], None], encoder: Encoder, contents: list[Content]) -> Finding:
    said = (promise.__doc__ or "").rstrip(".")
    try:
        promise(encoder, contents)
    except Exception as exc:  # noqa: BLE001  # whatever an encoder raises breaks the promise
        return Finding(said, f"{type(exc).__name__}: {exc}" if not isinstance(exc, AssertionError) else str(exc))
    return Finding(said)


def _known(encoder: Encoder, contents: list[Content]) -> None:
    """its space is the same each time, and embeds what it says."""
    before = encoder.space
    assert before.dim > 0, f"its dimension is {before.dim}"
    assert before.modalities, "it embeds nothing"
    assert before.name, "it has no name"
    encoder.encode(contents[:1])
    assert encoder.space == before, "it was another after the first content"


def _embedded(encoder: Encoder, contents: list[Content]) -> None:
    """every modality is embedded: a row each, finite, of the promised dimension, of unit length where cosine."""
    missing = encoder.space.modalities - {content.modality for content in contents}
    assert not missing, f"no content of {', '.join(sorted(missing))} was given to try it on"
    for content in contents:
        check_vectors(encoder.space, encoder.encode([content]))
    check_vectors(encoder.space, encoder.encode(contents))
    assert len(encoder.encode([])) == 0, "nothing has rows"


def _ordered(encoder: Encoder, contents: list[Content]) -> None:
    """rows are in the order of the contents."""
    rows = encoder.encode(contents)
    turned = encoder.encode(contents[::-1])
    _same([rows[i] for i in range(len(contents))], [turned[i] for i in reversed(range(len(contents)))], contents)


def _alone(encoder: Encoder, contents: list[Content]) -> None:
    """a row depends on its own content alone: one by one as in a batch."""
    rows = encoder.encode(contents)
    _same([rows[i] for i in range(len(contents))], [encoder.encode([content])[0] for content in contents], contents)


def _again(encoder: Encoder, contents: list[Content]) -> None:
    """the same content has the same vector again."""
    first, again = encoder.encode(contents), encoder.encode(contents)
    _same([first[i] for i in range(len(contents))], [again[i] for i in range(len(contents))], contents, near=1e-6)


def _told_apart(encoder: Encoder, contents: list[Content]) -> None:
    """different contents have different vectors."""
    for modality in encoder.space.modalities:
        kind = [content for content in contents if content.modality is modality]
        rows = encoder.encode(kind)
        assert len(kind) > 1, f"only one {modality} was given"
        assert any(_cosine(rows[0], rows[i]) < 1 - 1e-6 for i in range(1, len(kind))), f"every {modality} has the same"


def _asked(encoder: Encoder, contents: list[Content]) -> None:
    """a query has a vector of the same space, together with others the one that it has alone."""
    rows, alone = encoder.encode_queries(contents), [encoder.encode_query(content) for content in contents]
    check_vectors(encoder.space, rows)
    _same([rows[i] for i in range(len(contents))], alone, contents)


def _threads(encoder: Encoder, contents: list[Content]) -> None:
    """several threads may ask at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda _: encoder.encode(contents), range(THREADS)))
    for rows in made[1:]:
        count = range(len(contents))
        _same([made[0][i] for i in count], [rows[i] for i in count], contents)


def _odd_embedded(encoder: Encoder, _: list[Content]) -> None:
    """odd content is embedded or refused, and breaks nothing."""
    for content in _odd(encoder.space.modalities):
        try:
            check_vectors(encoder.space, encoder.encode([content]))
        except Refused:
            continue


def _others_refused(encoder: Encoder, _: list[Content]) -> None:
    """content of another modality is refused."""
    for modality in {Modality.TEXT, Modality.IMAGE, Modality.AUDIO} - encoder.space.modalities:
        try:
            encoder.encode(samples(frozenset({modality}))[:1])
        except NoSpaceFor:
            continue
        raise AssertionError(f"{modality} was embedded")


def _tokens(encoder: Encoder, contents: list[Content]) -> None:
    """tokens, where it says how it reads text, lie in the text in order."""
    words = encoder.tokens
    if words is None:
        return
    assert words.most > 0, f"it reads {words.most} tokens"
    for text in (content.value for content in contents if isinstance(content, Text)):
        spans = list(words.spans(text))
        assert spans, f"{text!r} has no tokens"
        assert all(0 <= start < end <= len(text) for start, end in spans), f"{text!r}: a token lies outside"
        assert all(one <= other for one, other in pairwise(spans)), f"{text!r}: tokens are not in order"


def _wants(encoder: Encoder, _: list[Content]) -> None:
    """it wants no more than it embeds."""
    wants = encoder.wants
    assert wants.contents == encoder.space.modalities, f"it wants {sorted(wants.contents)}"
    assert wants.pixels >= 0, f"pictures of {wants.pixels} pixels"
    assert wants.rate >= 0, f"{wants.rate} samples a second"
    assert wants.seconds > 0, f"{wants.seconds} s of sound"


PROMISES = (
    _known,
    _embedded,
    _ordered,
    _alone,
    _again,
    _told_apart,
    _asked,
    _threads,
    _odd_embedded,
    _others_refused,
    _tokens,
    _wants,
)


def _same(some: Sequence[object], others: Sequence[object], contents: list[Content], *, near: float = NEAR) -> None:
    for one, other, content in zip(some, others, contents, strict=True):
        alike = _cosine(one, other)
        assert alike >= 1 - near, f"{_shown(content)} has two vectors, of cosine {alike:.4f}"


def _cosine(one: object, other: object) -> float:
    """Of two rows; 1 of two sparse ones that are empty."""
    if isinstance(one, Sparse) and isinstance(other, Sparse):
        there = dict(zip(other.indices.tolist(), other.values.tolist(), strict=True))
        dot = sum(value * there.get(i, 0.0) for i, value in zip(one.indices.tolist(), one.values.tolist(), strict=True))
        lengths = float(np.linalg.norm(one.values) * np.linalg.norm(other.values))
        return dot / lengths if lengths else float(len(one) == len(other))
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(a @ b) / max(float(np.linalg.norm(a)) * float(np.linalg.norm(b)), 1e-30)


def _shown(content: Content) -> str:
    match content:
        case Text(value):
            return repr(value[:30])
        case Image(pixels):
            return f"a picture of {pixels.shape[1]} x {pixels.shape[0]}"
        case Audio(samples, rate):
            return f"a sound of {len(samples) / rate:.1f} s"
