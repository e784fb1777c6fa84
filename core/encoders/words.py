"""Longest match of the words of a text, English or Chinese, to weighted concepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Weights = Mapping[int, float]
Lexicon = Mapping[str, Weights]  # a word or a phrase, lower case, to node -> weight; none: it hides shorter words

LONGEST = 4  # words of English, or 2 * LONGEST characters of Chinese
_HAN = "㐀-䶿一-鿿豈-﫿"
_RUN = re.compile(rf"[{_HAN}]+|[a-z0-9]+(?:['’.\-][a-z0-9]+)*", re.IGNORECASE)
_IS_HAN = re.compile(rf"[{_HAN}]")
_ENDINGS = (
    ("ies", "y"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("s", ""),
)


def singular(word: str) -> Iterator[str]:
    """The forms a word may be the plural of: the detachment rules of WordNet's morphy (morphy(7WN)) for nouns."""
    yield word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > max(3, len(ending)) and not word.endswith("ss"):
            yield word[: -len(ending)] + instead


def weigh(lexicon: Lexicon, phrase: str) -> Weights:
    """The concepts of one phrase, its last word perhaps a plural; empty when there is none."""
    head, _, last = phrase.rpartition(" ")
    for form in singular(last):
        found = lexicon.get(f"{head} {form}" if head else form)
        if found is not None:
            return found
    return {}


def concepts_of(lexicon: Lexicon, text: str) -> list[Weights]:
    """The concepts of each part of the text that names some, left to right, longest match first."""
    out = []
    english: list[str] = []
    for run in _RUN.findall(text):
        if _IS_HAN.match(run):
            out += _english(lexicon, english) + _chinese(lexicon, run)
            english = []
        else:
            english.append(run.lower().removesuffix("'s").removesuffix("’s"))
    return out + _english(lexicon, english)


def _english(lexicon: Lexicon, said: list[str]) -> list[Weights]:
    out, at = [], 0
    while at < len(said):
        for size in range(min(LONGEST, len(said) - at), 0, -1):
            if found := weigh(lexicon, " ".join(said[at : at + size])):
                out.append(found)
                at += size
                break
        else:
            at += 1
    return out


def _chinese(lexicon: Lexicon, run: str) -> list[Weights]:
    out, at = [], 0
    while at < len(run):
        for size in range(min(2 * LONGEST, len(run) - at), 0, -1):
            found = lexicon.get(run[at : at + size])
            if found is not None:
                if found:
                    out.append(found)
                at += size
                break
        else:
            at += 1
    return out
