"""Which words, English and Chinese, name which visual concept: nodes of WordNet above the classes of ImageNet."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.wordnet import Nouns

WIDEST = 450  # leaves: "entity" and "artifact" are of too many pictures to tell any apart
SENSES = 3  # of an entry of the dictionary
BELOW = 0.5  # of the weight of a word that names a node itself: a sparrow is a bird, and no more is known
FEWEST = 12  # leaves: what is below a narrower node is seldom taken for one; scissors are no kind of hatchet
MOST = 130  # leaves ("dog" has 118): what is below a wider node is not worth saying
FAINT = 0.25  # a weight below this is a sense too rare to help
PHYSICAL = 1930  # the synset "physical entity"
# nouns of WordNet (vitamin A, the Indiana of IN, helium) and glosses of Chinese particles that are hardly ever meant
_FUNCTION_WORDS = """
am an and are as at be but by can could do does for from had has have he her hers him his how if in is it its may me
might must my no not of on one or our out she so than that the their them then there they this to two up us was we
were what when where which who whose why will with would you your
"""
NO_NOUNS = frozenset(_FUNCTION_WORDS.split())
NO_NAMES = frozenset("的一了在是和与与個个只隻条條张張把片些这這那上下里裡中大小有我你他她它们們不很也都就二三老好多")

Weights = dict[str, dict[int, float]]  # word -> node -> weight in (0, 1]


@dataclass(frozen=True, slots=True)
class Concepts:
    """Synsets that are a class or above at most WIDEST classes, by offset, and the classes under each."""

    nodes: tuple[int, ...]
    leaves: tuple[tuple[int, ...], ...]


def concepts(nouns: Nouns, classes: Sequence[int]) -> Concepts:
    """`classes` are the synsets of a classifier, in its order."""
    under: dict[int, list[int]] = {}
    for leaf, synset in enumerate(classes):
        for up in nouns.ancestors(synset):
            under.setdefault(up, []).append(leaf)
    nodes = tuple(sorted(node for node, leaves in under.items() if len(leaves) <= WIDEST))
    return Concepts(nodes, tuple(tuple(under[node]) for node in nodes))


def _nearest(nouns: Nouns, synset: int, among: Container[int]) -> list[int]:
    level, seen = [synset], {synset}
    while level:
        if found := [s for s in level if s in among]:
            return found
        level = [up for s in level for up in nouns.synsets[s].hypernyms if up not in seen]
        seen.update(level)
    return []


def english(nouns: Nouns, of: Concepts) -> Weights:
    """A word weighs 1/rank of its sense among its senses that can be seen, and BELOW of that when the sense is only a
    kind of the node. A phrase is kept even when it weighs nothing, so that its words do not speak for it: a tape
    measure is no tape."""
    index = {node: i for i, node in enumerate(of.nodes)}
    out: Weights = {}
    for lemma, senses in nouns.senses.items():
        if len(lemma) < 2 or lemma in NO_NOUNS:
            continue
        weights: dict[int, float] = {}
        seen = [synset for synset in senses if PHYSICAL in nouns.ancestors(synset)]
        for rank, synset in enumerate(seen, 1):
            exact = synset in index
            weight = (1.0 if exact else BELOW) / rank
            for node in _nearest(nouns, synset, index):
                if weight >= FAINT and (exact or FEWEST <= len(of.leaves[index[node]]) <= MOST):
                    weights[index[node]] = max(weights.get(index[node], 0.0), weight)
        if weights and (" " not in lemma or max(weights.values()) > BELOW or _common(nouns, lemma, senses)):
            out[lemma] = weights
    for lemma, senses in nouns.senses.items():
        if lemma not in out and " " in lemma and _common(nouns, lemma, senses) and any(w in out for w in lemma.split()):
            out[lemma] = {}
    for many, ones in nouns.plurals.items():
        for one in ones:
            if one in out and many not in out:
                out[many] = out[one]
    return out


def _common(nouns: Nouns, lemma: str, senses: Sequence[int]) -> bool:
    """Whether it is written small: neither somebody's name nor Latin."""
    return lemma in nouns.synsets[senses[0]].lemmas


_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]|\"[^\"]*\"")
_ARTICLE = re.compile(r"^(a|an|the|any|some) ")
_NOT_A_NAME = re.compile(r"^(to |surname |variant of |old variant|see |classifier |CL:|abbr\.)|radical|used in")


def glosses(senses: Iterable[str]) -> list[list[str]]:
    """Per sense, the English words that translate a dictionary entry; verbs and remarks are left out."""
    out = []
    for sense in senses:
        said = [
            _ARTICLE.sub("", gloss.strip().lower())
            for gloss in _ASIDE.sub("", sense).split(";")
            if not _NOT_A_NAME.search(gloss.strip())
        ]
        if said := [gloss for gloss in said if gloss]:
            out.append(said)
    return out


def chinese(entries: Iterable[tuple[str, str, Sequence[str]]], weigh: Callable[[str], Mapping[int, float]]) -> Weights:
    """`entries` are (traditional, simplified, senses). A word weighs what its glosses do, divided by their rank.

    Words with no concept that hide one with a concept are kept, empty: 马上 (at once) is no horse (马).
    """
    out: Weights = {}
    for traditional, simplified, senses in entries:
        for rank, said in enumerate(glosses(senses)[:SENSES], 1):
            for gloss in said:
                for node, weight in weigh(gloss).items():
                    for word in {traditional, simplified} - NO_NAMES:
                        held = out.setdefault(word, {})
                        held[node] = max(held.get(node, 0.0), weight / rank)
    out = {word: kept for word, held in out.items() if (kept := {n: w for n, w in held.items() if w >= FAINT / 2})}
    hidden: Weights = {}
    for traditional, simplified, _ in entries:
        for word in {traditional, simplified} - out.keys():
            if len(word) == 2 and (word[0] in out or word[1] in out):
                hidden[word] = {}
    return out | hidden
