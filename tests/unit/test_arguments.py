"""Arguments of a wrong type: told by name before anything is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from core.errors import BadQuery
from core.types import Modality
from quiver.arguments import KINDS, number_of
from quiver.asking import Question, keys_of, question_of
from quiver.wishes import Wish, wish_of

MADE: dict[str, Callable[[Mapping[str, Any]], Any]] = {"question": question_of, "wish": wish_of}
PARTS = {"question": fields(Question), "wish": fields(Wish)}
NAMED = [(made, part.name) for made, parts in PARTS.items() for part in parts if part.name not in ("where", "vector")]
OPTIONAL = {part.name for parts in PARTS.values() for part in parts if part.default is None}
WRONG: dict[str, list[Any]] = {
    "text": [5],
    "image": [["a.png"]],
    "audio": [5],
    "video": [True],
    "like": [5],
    "mix": [{"text": "red"}, ["red"], [5], "red"],
    "less": ["dog", [5], 5],
    "modality": [5, {"text": 1}],
    "limit": ["5", 3.5, True],
    "offset": ["a", 0.0],
    "min_score": ["x", True, 10**400],
    "exact": ["no", 1],
    "fusion": [5],
    "weights": [{"concept": "x"}, {5: 1.0}, ["concept"], {"concept": True}],
    "rerank": ["mmr", [5]],
    "budget": ["1", 10**400],
    "group_by": [5],
    "group_size": ["x"],
    "without": ["t001", {"t001": 1}, 5],
    "explain": ["yes"],
    "record": [1],
    "positives": ["shop", {"text": "red"}],
    "negatives": ["t001"],
    "history": [b"t001"],
    "seen": ["t001", {"t001": 1}],
    "strategy": [5],
    "half_life": [["7d"], True],
    "again": ["no"],
    "freshness": [7],
    "quota": [{"brand": 1.5}, ["brand"]],
    "shares": [{"brand": [1]}, {"brand": {"a": "x"}}],
    "fallback": [5],
    "page": [5],
    "reasons": [0],
}


@pytest.mark.parametrize(("made", "name"), NAMED)
def test_an_argument_of_another_type_is_told_by_its_name_with_what_it_wants(made: str, name: str) -> None:
    for wrong in [*WRONG[name], *([] if name in OPTIONAL else [None])]:
        with pytest.raises(BadQuery) as caught:
            MADE[made]({name: wrong})
        said = str(caught.value)
        assert said.startswith(f"{name} is "), wrong
        assert said.endswith(f"give {KINDS[name].want}"), wrong


@pytest.mark.parametrize("made", MADE)
def test_what_nobody_said_and_what_is_none_where_it_may_be_is_taken(made: str) -> None:
    MADE[made]({part.name: part.default for part in PARTS[made] if part.default is not MISSING})


def test_numbers_and_lists_are_taken_in_whatever_form_they_come() -> None:
    numbers: dict[str, Any] = {"limit": np.int64(3), "min_score": np.float32(0.5)}
    asked = Question(without=iter(["t001"]), modality={Modality.TEXT}, **numbers)
    assert keys_of(asked.without) == ("t001",), "it is read once, by who needs it"
    assert Wish(positives=("t001", UUID(int=1)), seen={"t002"}, budget=1, shares={"year": {2020: 0.5}}).budget == 1


def test_a_query_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(BadQuery, match="a query is a mapping"):
        question_of("red")  # type: ignore[arg-type]  # what is refused


def test_what_is_no_id_and_no_number_is_refused() -> None:
    with pytest.raises(BadQuery, match="without holds 5"):
        keys_of([5])  # type: ignore[list-item]  # what is refused
    for wrong in (True, "1", None, 10**400):
        with pytest.raises(BadQuery, match="a weight is a number"):
            number_of(wrong, "a weight")
