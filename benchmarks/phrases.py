"""Texts, their metadata, and what is asked of them, for load: many, all different, the same every time."""

from __future__ import annotations

from typing import Any

from benchmarks.categories import categories

KINDS = ("note", "report", "letter", "recipe")
WHO = ("a cat", "an old fisherman", "the neighbour's dog", "a child", "two engineers", "一只猫", "a flock of birds")
DOES = ("sleeps", "looks for food", "waits for rain", "repairs an engine", "reads a letter", "drinks coffee", "sings")
WHERE = (
    "in the garden",
    "on a boat",
    "under the bridge",
    "at the harbour",
    "in a quiet street",
    "在山上",
    "by the sea",
)
WHEN = ("at dawn", "in winter", "after the storm", "on a market day", "late at night", "in the year of the flood")
FILTERS = ("kind = note", "year >= 2010", "kind = report and year < 2005", "kind = photo or kind = recipe")
FIELDS = {"kind": "keyword", "year": "integer"}


def phrase(number: int) -> str:
    """A text of two sentences; another for every number."""
    said, rest = [], number
    for parts in (WHO, DOES, WHERE, WHEN, WHO, DOES):
        rest, at = divmod(rest, len(parts))
        said.append(parts[at])
    return f"{said[0]} {said[1]} {said[2]} {said[3]}. Then {said[4]} {said[5]}. This is entry {number}."


def metadata(number: int) -> dict[str, Any]:
    """Of the declared fields."""
    return {"kind": KINDS[number % len(KINDS)], "year": 2000 + number % 25}


def queries() -> list[str]:
    """What is asked: the category queries, in English and Chinese."""
    both = [*categories("tuning"), *categories("test")]
    return [words for each in both for words in (each.english, each.chinese)]
