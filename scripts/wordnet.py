"""Read the noun files of a WordNet database (format: wndb(5WN))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_POINTER = re.compile(r"@i? (\d{8}) n")


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning: its words, what it is a kind of, and its definition."""

    lemmas: tuple[str, ...]
    hypernyms: tuple[int, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Nouns:
    """The nouns of WordNet: synsets by offset, senses by lemma (most frequent first), irregular plurals."""

    synsets: dict[int, Synset]
    senses: dict[str, tuple[int, ...]]
    plurals: dict[str, tuple[str, ...]]

    def ancestors(self, synset: int) -> set[int]:
        """Everything it is a kind of, itself included."""
        seen, todo = {synset}, [synset]
        while todo:
            fresh = [up for up in self.synsets[todo.pop()].hypernyms if up not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return seen


def _words(raw: str) -> str:
    return raw.replace("_", " ").lower()


def _rows(path: Path) -> Iterator[str]:
    return (line for line in path.read_text("utf-8").splitlines() if not line.startswith("  "))  # the licence


def read_nouns(folder: Path) -> Nouns:
    """`folder` holds data.noun, index.noun and noun.exc."""
    synsets: dict[int, Synset] = {}
    for row in _rows(folder / "data.noun"):
        body, _, gloss = row.partition(" | ")
        parts = body.split()
        count = int(parts[3], 16)
        lemmas = tuple(parts[4 + 2 * i].replace("_", " ") for i in range(count))
        definition = gloss.split('; "')[0].strip()  # examples follow in quotes
        synsets[int(parts[0])] = Synset(lemmas, tuple(map(int, _POINTER.findall(body))), definition)
    senses: dict[str, tuple[int, ...]] = {}
    for row in _rows(folder / "index.noun"):
        parts = row.split()
        senses[_words(parts[0])] = tuple(map(int, parts[-int(parts[2]) :]))
    plurals = {
        _words(many): tuple(map(_words, ones)) for many, *ones in map(str.split, _rows(folder / "noun.exc")) if ones
    }
    return Nouns(synsets, senses, plurals)
