"""One suite of promises for every encoder that comes with Quiver, and proof that it catches those that break one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.encoders.registry import Encoders
from core.ports import Embeds
from core.types import Content, Modality, Text, Wants
from quiver.testing import check_encoder, findings, samples
from tests.checkpoints import ALL, build
from tests.doubles import ColourEncoder, WordEncoder


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_packaged_encoders_keep_their_promises(which: int) -> None:
    check_encoder(Encoders().of_profile("packaged")[which])


@pytest.mark.parametrize("family", [name for name in ALL if name not in ("camembert", "roberta")])  # as xlm-roberta
def test_encoders_of_every_family_keep_their_promises(family: str, tmp_path: Path) -> None:
    [made] = Encoders().of_profile(f"hf:{build(tmp_path / family, family)}")
    check_encoder(made)


def test_the_doubles_of_tests_keep_them_too() -> None:
    texts = [Text("red cat"), Text("blue dog"), Text("a green rocket")]
    check_encoder(WordEncoder(), texts)
    check_encoder(ColourEncoder(), [*texts, *samples(frozenset({Modality.IMAGE}))])


class Breaks(ColourEncoder):
    """Texts by their letters; as told, otherwise."""

    def __init__(self, how: Callable[[Any, Sequence[Content]], Any]) -> None:
        super().__init__()
        self.space = replace(self.space, modalities=frozenset({Modality.TEXT}))
        self.wants = Wants(contents=self.space.modalities)
        self.how = how
        self.calls = 0

    def encode(self, contents: Sequence[Content]) -> Any:
        self.calls += 1
        return self.how(self, contents)

    def encode_query(self, query: Content) -> Any:
        return self.how(self, [query])[0]


def rows(contents: Sequence[Content]) -> np.ndarray:
    said = [[len(c.value), sum(map(ord, c.value)) % 97, 1, 2] for c in contents if isinstance(c, Text)]
    out = np.array(said, np.float32).reshape(-1, 4)
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)


def test_what_the_broken_ones_below_are_made_of_keeps_them() -> None:
    check_encoder(Breaks(lambda _, contents: rows(contents)))


def drifting(self: Any, contents: Sequence[Content]) -> np.ndarray:
    out = rows(contents) + 0.05 * self.calls
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)


def of_neighbours(_: Any, contents: Sequence[Content]) -> np.ndarray:
    out = rows(contents)
    out = out + out.mean(axis=0) if len(out) else out
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)


def sorted_by_length(_: Any, contents: Sequence[Content]) -> np.ndarray:
    return rows(sorted(contents, key=lambda c: len(c.value)))  # type: ignore[union-attr]  # texts


def choking(_: Any, contents: Sequence[Content]) -> np.ndarray:
    for content in contents:
        content.value.encode()  # type: ignore[union-attr]  # texts
    return rows(contents)


def renamed(self: Any, contents: Sequence[Content]) -> np.ndarray:
    self.space = replace(self.space, revision=f"r{self.calls}")
    return rows(contents)


@pytest.mark.parametrize(
    ("how", "promise"),
    [
        (lambda _, contents: rows(contents) * 2, "every modality is embedded.*not of unit length"),
        (lambda _, contents: rows(contents)[:1], "every modality is embedded"),
        (lambda _, contents: np.full((len(contents), 4), 0.5, np.float32), "different contents.*every text has the"),
        (drifting, "the same content has the same vector again.*has two vectors"),
        (of_neighbours, "a row depends on its own content alone"),
        (sorted_by_length, "rows are in the order"),
        (choking, "odd content is embedded or refused.*UnicodeEncodeError"),
        (renamed, "its space is the same each time.*another"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(how: Callable[..., Any], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_encoder(Breaks(how))


def test_tokens_that_lie_outside_the_text_are_found() -> None:
    class Tokens:
        most = 3

        def spans(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text) + 1)]

    made = Breaks(lambda _, contents: rows(contents))
    made.tokens = Tokens()  # type: ignore[attr-defined]  # what a plug-in may add
    [broken] = [found for found in findings(made) if found.broken]
    assert "lies outside" in broken.broken


def test_a_modality_that_is_declared_and_not_tried_is_told() -> None:
    image_too: Embeds = ColourEncoder()
    with pytest.raises(AssertionError, match="no content of image was given"):
        check_encoder(image_too, [Text("red"), Text("blue")])
